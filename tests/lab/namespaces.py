"""Network-namespace machines as the tests' `Lab`: seconds to build, this machine's kernel.

Each has its own network, host name, PID and mount namespace; /run and /var/lib are its own, /home
is home's, and `ann` and `bob` are users, as on the virtual machines. Needs root and iproute2.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from net.lab import Lab as Wires
from net.lab import LabNode, missing, tools_of_this_checkout

from lab.commands import CommandMachine, logs
from lab.machines import Ability, Lab, Machine

USERS = {"ann": 20001, "bob": 20002}


def _prepare(node: LabNode, files: Path, homes: Path) -> None:
    """Its own /run and /var/lib; home's /home; users and host names."""
    lines = ["mount -t tmpfs none /run", "mount -t tmpfs none /var/lib"]
    lines.append(f"mount --bind {homes} /home")
    lines += [f"mount --bind {path} /etc/{path.name}" for path in files.iterdir()]
    node.good("sh", "-e", "-c", "\n".join(lines))
    node.open_interpreter()


def _write_files(files: Path, homes: Path, wires: Wires) -> None:
    files.mkdir()
    homes.mkdir()
    for name in ("passwd", "group"):
        text = Path("/etc", name).read_text().rstrip("\n") + "\n"
        for user, uid in USERS.items():
            text += f"{user}:x:{uid}:"
            text += f"{uid}::/home/{user}:/bin/sh\n" if name == "passwd" else "\n"
        (files / name).write_text(text)
    rows = [f"{node.address} {node.name}\n" for node in wires.machines.values()]
    (files / "hosts").write_text("127.0.0.1 localhost\n" + "".join(rows))
    (homes / ".inputrc").write_text("set enable-bracketed-paste off\n")  # as Debian's /etc has it
    for user, uid in USERS.items():
        (homes / user).mkdir(mode=0o755)
        shutil.chown(homes / user, uid, uid)


class NamespaceMachine(CommandMachine):
    """See lab.machines.Machine."""

    def __init__(self, wires: Wires, node: LabNode) -> None:
        super().__init__()
        self.wires = wires
        self.node = node

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def address(self) -> str:
        return self.node.address

    def words(
        self,
        argv: Sequence[str],
        user: str,
        env: Mapping[str, str] | None = None,
        terminal: bool = False,
    ) -> list[str]:
        place = "/root" if user == "root" else f"/home/{user}"
        path = f"{self.node.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        given = {"PATH": path, "HOME": place, "USER": user, "LC_ALL": "C.UTF-8", **(env or {})}
        if terminal:
            given["INPUTRC"] = "/home/.inputrc"
        words = ["nsenter", "-t", str(self.node.pid), "--net", "--uts", "--mount", "--pid", "--"]
        words += ["setsid", "--ctty", "--wait"] if terminal else []
        words += ["env", "-i", "-C", place, *(f"{k}={v}" for k, v in given.items())]
        if user != "root":
            words += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return [*words, *argv]

    def power_off(self) -> None:
        pytest.skip("a namespace has no power of its own")

    def power_on(self) -> None:
        pytest.skip("a namespace has no power of its own")

    def link_down(self) -> None:
        self.wires.pull(self.node)

    def link_up(self) -> None:
        self.wires.plug(self.node)


@dataclass(frozen=True)
class NamespaceLab:
    """See lab.machines.Lab."""

    machines: Mapping[str, Machine]
    description: str
    kind: str = "netns"
    abilities: frozenset[Ability] = frozenset({Ability.CABLE, Ability.NFS})

    def story(self) -> str:
        return "\n".join(logs(machine) for machine in self.machines.values())


@contextlib.contextmanager
def namespaces(count: int = 2) -> Iterator[Lab]:
    """Home and `count` nodes."""
    if why := missing():
        pytest.skip(f"no namespace lab: {why}")
    began = time.monotonic()
    with tools_of_this_checkout() as tools, contextlib.closing(Wires(tools, count)) as wires:
        files, homes = wires.folder / "etc", wires.folder / "homes"
        _write_files(files, homes, wires)
        for node in wires.machines.values():
            _prepare(node, files, homes)
        machines = {name: NamespaceMachine(wires, n) for name, n in wires.machines.items()}
        said = f"netns: {len(machines)} namespaces in {time.monotonic() - began:.1f} s"
        yield NamespaceLab(machines, said)
        for machine in machines.values():
            machine.hang_up()
