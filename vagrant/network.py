"""A network namespace that holds a lab: its bridge, its machines' processes, nothing else.

Owns the namespace and a folder for its files. Both go with the lab, whatever happens to us: a
guardian outside waits for the end of a pipe that only we hold open. All of a lab's network is in
here: there is no way out of it, and none in but processes that enter it.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vagrant.steps import LabError, Tool, step

SUBNET = "10.77.0"
BRIDGE = "lab0"
FIRST_HOST = 10
"""The last byte of home's address; nodes follow. The same as in box/hosts and the Vagrantfile."""
LIMIT = 120.0
TOOLS = (Tool("ip", "iproute2"), Tool("/dev/net/tun", ""))

# Ends what is in the namespace, by pid, until nothing is: a dying process may have just forked.
TAKE_DOWN = """
for round in 1 2 3 4 5 6 7 8 9 10; do
    pids=$(ip netns pids "$1" 2>/dev/null) || break
    [ -n "$pids" ] || break
    kill -KILL $pids 2>/dev/null
    sleep 0.1
done
ip netns delete "$1" 2>/dev/null
rm -rf "$2"
exit 0
"""


def address(number: int) -> str:
    """The address of home (0) or a node (1, 2, ...)."""
    return f"{SUBNET}.{FIRST_HOST + number}"


def names(nodes: int) -> list[str]:
    """home, node1, node2, ...: the machines of a lab with that many nodes."""
    return ["home", *(f"node{number}" for number in range(1, nodes + 1))]


@dataclass(frozen=True)
class Space:
    """A network namespace by name, and the folder of its files."""

    name: str
    folder: Path

    def words(self, *argv: str) -> list[str]:
        """The command line that runs a command in it (by exec: no process in between)."""
        return ["ip", "netns", "exec", self.name, *argv]

    def ip(self, *words: str) -> str:
        """ip(8) in it."""
        return step("setting up the lab's network", ["ip", "-n", self.name, *words], LIMIT)

    def pids(self) -> list[int]:
        """The processes in it."""
        out = step("looking into the lab", ["ip", "netns", "pids", self.name], LIMIT)
        return [int(word) for word in out.split()]

    def bridge(self) -> None:
        """Make the bridge that machines are plugged into; our own end is SUBNET.1."""
        self.ip("link", "set", "lo", "up")
        self.ip("link", "add", BRIDGE, "type", "bridge")
        self.ip("address", "add", f"{SUBNET}.1/24", "dev", BRIDGE)
        self.ip("link", "set", BRIDGE, "up")

    def tap(self, name: str) -> None:
        """Make a port of the bridge that QEMU can hold the other end of."""
        self.ip("tuntap", "add", name, "mode", "tap")
        self.ip("link", "set", name, "master", BRIDGE, "up")


def remove(name: str, folder: Path) -> None:
    """End everything in a namespace and delete it and the folder; nothing to do is fine."""
    step("taking the lab down", ["sh", "-c", TAKE_DOWN, "down", name, str(folder)], LIMIT)
    if exists(name) or folder.exists():
        raise LabError(f"namespace {name} or {folder} could not be removed")


def exists(name: str) -> bool:
    """Whether there is a namespace of that name."""
    out = step("listing network namespaces", ["ip", "netns", "list"], LIMIT)
    return name in [line.split()[0] for line in out.splitlines() if line.strip()]


@contextlib.contextmanager
def space() -> Iterator[Space]:
    """A new namespace; it, its processes and its folder are gone afterwards, or when we are killed.

    The guardian has a session of its own: ^C at our terminal is our business.
    """
    folder = Path(tempfile.mkdtemp(prefix="glunix-vm-"))
    name = folder.name
    guardian = subprocess.Popen(
        ["sh", "-c", "cat >/dev/null" + TAKE_DOWN, "guardian", name, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert guardian.stdin is not None
    try:
        step("making a network namespace", ["ip", "netns", "add", name], LIMIT)
        yield Space(name, folder)
    finally:
        guardian.stdin.close()
        try:
            guardian.wait(LIMIT)
        except subprocess.TimeoutExpired:
            guardian.kill()
            guardian.wait()
            raise LabError(f"namespace {name} could not be taken down in {LIMIT:.0f} s")
        shutil.rmtree(folder, ignore_errors=True)
