"""A cluster of network-namespace nodes: real TCP between them, seconds to build, nothing left.

One namespace holds a bridge; each node has network, UTS, PID and mount namespaces of its own, a
veth on the bridge, a state folder and a daemon. A node's processes die with its first one. Cables
can be pulled (`silent`: packets vanish, no carrier change) and made slow (`slow`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from e2e.cluster import (
    DEADLINE,
    Cluster,
    Result,
    as_user,
    ended,
    everybodys_python,
    make_launchers,
    read_line,
    until,
)

from . import slowlink

NET = "10.99.0."
PORT = 7117
_HOLD = 'hostname "$1" && echo ready && sleep infinity & wait'
"""A node's first process: dash reaps orphans while it waits."""


def missing() -> str:
    """Why there can be no lab here; empty when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "unshare", "nsenter", "setpriv"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    probe = "ip link add v0 type veth peer name v1 && ip link add b0 type bridge"
    done = subprocess.run(["unshare", "-n", "sh", "-c", probe], capture_output=True, timeout=20)
    return f"no veth or bridge here: {done.stderr.decode().strip()}" if done.returncode else ""


def _hold(words: Sequence[str], name: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        ["unshare", *words, "--fork", "--kill-child", "sh", "-c", _HOLD, "sh", name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    assert read_line(process) == "ready", process.stderr
    return process


def _child(pid: int) -> int:
    """`unshare --fork`: the process in the new namespaces is its child."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _ip(pid: int, *lines: str) -> None:
    words = ["nsenter", "-t", str(pid), "-n", "ip", "-batch", "-"]
    subprocess.run(words, input="\n".join(lines).encode(), check=True, timeout=DEADLINE)


class LabNode(Cluster):
    """One machine of the lab: runs commands there, with its own state folder."""

    def __init__(self, lab: Lab, name: str, number: int) -> None:
        super().__init__(lab.bin, lab.folder / name)
        self.folder.mkdir(mode=0o755)
        self.lab = lab
        self.name = name
        self.address = f"{NET}{number}"
        self.port = f"v{number}"
        self.holder = _hold(["--net", "--uts", "--mount", "--mount-proc", "--pid"], name)
        self.pid = _child(self.holder.pid)

    def _words(self, argv: Sequence[str], uid: int | None) -> list[str]:
        found = shutil.which(argv[0], path=self.environment()["PATH"])
        assert found, f"{argv[0]} is not installed"
        user = as_user(uid) if uid else []
        here = ["nsenter", "-t", str(self.pid), "--net", "--uts", "--mount", "--pid"]
        return [*here, f"--wd={self.lab.work}", "--", *user, found, *argv[1:]]

    def good(self, *argv: str, **how: object) -> str:
        """Run a command that must succeed; its output."""
        result = self.run(*argv, **how)  # type: ignore[arg-type]
        assert result.status == 0, (argv, result)
        return result.text

    def open_interpreter(self) -> None:
        """Have other users of this node reach our Python, also where it lies in root's home.

        (What setpriv starts is found with the rights of root, what that starts is not.)
        """
        path = Path(sys.executable).resolve()
        closed = [p for p in reversed(path.parents) if not p.stat().st_mode & 1]
        if not closed:
            return
        name = path.relative_to(closed[0]).parts[0]
        stage = self.lab.folder / f"open-{self.name}"
        (stage / name).mkdir(parents=True)
        self.good("mount", "--bind", str(closed[0] / name), str(stage / name))
        self.good("mount", "--rbind", str(stage), str(closed[0]))

    def service(self, name: str) -> int:
        """Pid, as this machine has it, of a service that runs on the node."""
        inner = self.members()[name].pid
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, StopIteration):
                status = (entry / "status").read_text() if entry.name.isdecimal() else ""
                line = next(line for line in status.splitlines() if line.startswith("NSpid"))
                same = os.readlink(entry / "ns/pid") == os.readlink(f"/proc/{self.pid}/ns/pid")
                if same and int(line.split()[-1]) == inner:
                    return int(entry.name)
        raise AssertionError(f"{name} does not run on {self.name}")

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Signal a service of this node."""
        os.kill(self.service(name), number)

    def join(self, token: str, *words: str, **how: object) -> Result:
        """`glunix join` the lab's cluster."""
        return self.run("glunix", "join", *words, "--", self.lab.master, token,
                        timeout=40, **how)  # type: ignore[arg-type]  # fmt: skip


class Lab:
    """Home (with the master) and `count` nodes, cabled; nothing of GLUnix runs yet."""

    def __init__(self, tools: Path, count: int) -> None:
        self.bin = tools
        self.folder = Path(tempfile.mkdtemp(prefix="glunix-lab-"))
        self.folder.chmod(0o755)
        self.work = self.folder / "work"
        self.work.mkdir()
        self.work.chmod(0o1777)
        self.master = f"{NET}1:{PORT}"
        self._stack = contextlib.ExitStack()
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.machines: dict[str, LabNode] = {}
        try:
            self._build(count)
        except BaseException:
            self.close()
            raise

    def _build(self, count: int) -> None:
        switch = self._stack.enter_context(ended(_hold(["--net", "--uts", "--pid"], "switch")))
        self.switch = _child(switch.pid)
        self._stack.callback(_end, switch)
        lines = ["link add br0 type bridge", "link set br0 up"]
        for number, name in enumerate(["home", *(f"node{n}" for n in range(1, count + 1))], 1):
            node = LabNode(self, name, number)
            self.machines[name] = node
            self._stack.enter_context(ended(node.holder))
            self._stack.callback(_end, node.holder)
            lines.append(f"link add {node.port} type veth peer name eth0 netns {node.pid}")
            lines.append(f"link set {node.port} master br0 up")
        _ip(self.switch, *lines)
        for node in self.machines.values():
            _ip(node.pid, "link set lo up", f"addr add {node.address}/16 dev eth0",
                "link set eth0 up")  # fmt: skip

    @property
    def home(self) -> LabNode:
        """Where users type, and the master runs."""
        return self.machines["home"]

    def node(self, number: int) -> LabNode:
        """An execution node."""
        return self.machines[f"node{number}"]

    @property
    def nodes(self) -> list[LabNode]:
        """All execution nodes."""
        return [node for name, node in self.machines.items() if name != "home"]

    # -- the cluster -------------------------------------------------------------------------

    def init(self, root_jobs: bool = True, home_disk: str = "", **knobs: object) -> None:
        """`glunix init` and `glunix up` at home; `knobs` replace values in glunix.toml.

        `home_disk` gives home's state folder a disk of that size, which only home sees.
        """
        if home_disk:
            options = f"size={home_disk},mode=0755"
            self.home.good("mount", "-t", "tmpfs", "-o", options, "lab", str(self.home.folder))
        self.home.good("glunix", "init", "--listen", self.master)
        for name, value in {"allow_root": str(root_jobs).lower(), **knobs}.items():
            self.set_knob(name, value)
        self.home.good("glunix", "up", timeout=40)

    def set_knob(self, name: str, value: object) -> None:
        """Give a knob of home's glunix.toml another value, wherever it stands."""
        path = Path(f"/proc/{self.home.pid}/root{self.home.folder}/glunix.toml")
        lines = path.read_text().splitlines()
        found = [n for n, line in enumerate(lines) if line.startswith(f"{name} = ")]
        assert found, name
        for at in found:
            lines[at] = f"{name} = {value}"
        path.write_text("\n".join(lines) + "\n")

    def invite(self, *words: str) -> str:
        """A token."""
        return self.home.good("glunix", "invite", *words)

    def join_all(self) -> None:
        """All nodes, several at a time."""
        with ThreadPoolExecutor(4) as pool:
            tokens = [self.invite() for _ in self.nodes]
            for result in pool.map(
                lambda pair: pair[0].join(pair[1]), zip(self.nodes, tokens, strict=True)
            ):
                assert result.status == 0, result

    # -- cables ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def silent(self, node: LabNode) -> Iterator[None]:
        """Packets of this node vanish, both ways; nobody is told (no carrier change)."""
        self.pull(node)
        try:
            yield
        finally:
            self.plug(node)

    def pull(self, node: LabNode) -> None:
        """See `silent`."""
        _ip(self.switch, f"link set {node.port} nomaster")

    def plug(self, node: LabNode) -> None:
        """See `silent`."""
        _ip(self.switch, f"link set {node.port} master br0")

    @contextlib.contextmanager
    def slow(self, node: LabNode, delay: float, loss: float) -> Iterator[str]:
        """The cable takes `delay` seconds each way and loses a part `loss`; yields by what."""
        words = (
            f"tc qdisc add dev {node.port} root netem delay {delay * 1000:.0f}ms loss {loss:.0%}"
        )
        tried = subprocess.run(
            ["nsenter", "-t", str(self.switch), "-n", *words.split()], capture_output=True
        )
        if tried.returncode == 0:
            yield "netem"
            return
        # This kernel has no netem: a relay of our own between the port and the bridge.
        _ip(
            self.switch,
            f"link set {node.port} nomaster",
            "link add slow0 type veth peer name slow1",
            "link set slow0 up master br0",
            "link set slow1 up promisc on",
            f"link set {node.port} promisc on",
        )
        for pid, port in ((self.switch, node.port), (node.pid, "eth0"),
                          (self.switch, "slow0"), (self.switch, "slow1")):  # fmt: skip
            slowlink.plain_frames(pid, port)
        with slowlink.Relay(self.switch, node.port, "slow1", delay, loss):
            yield "a relay"
        _ip(self.switch, "link del slow0", f"link set {node.port} master br0 promisc off")

    def close(self) -> None:
        """All processes, namespaces and folders of it are gone afterwards, or it fails."""
        spaces = {os.readlink(f"/proc/{pid}/ns/net") for pid in self._first()}
        self._stack.close()
        until(lambda: not spaces & _network_spaces(), "no process is left in the lab's networks")

    def _first(self) -> list[int]:
        found = [node.pid for node in self.machines.values()]
        return [*found, self.switch] if hasattr(self, "switch") else found


def _network_spaces() -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal():
                found.add(os.readlink(entry / "ns/net"))
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """The first process of a PID namespace takes all others with it, and the namespaces."""
    for pid in [_child(process.pid)] if process.poll() is None else []:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(DEADLINE)


@contextlib.contextmanager
def tools_of_this_checkout() -> Iterator[Path]:
    """A folder with launchers, which everybody may read."""
    tools = Path(tempfile.mkdtemp(prefix="glunix-bin-"))
    try:
        tools.chmod(0o755)
        make_launchers(tools, everybodys_python() or sys.executable)
        yield tools
    finally:
        shutil.rmtree(tools)


@contextlib.contextmanager
def running_lab(count: int, join: bool = True, **knobs: object) -> Iterator[Lab]:
    """A lab with launchers of its own whose cluster is up, with `join` on all nodes."""
    with tools_of_this_checkout() as tools, contextlib.closing(Lab(tools, count)) as lab:
        lab.init(**knobs)  # type: ignore[arg-type]
        if join:
            lab.join_all()
        yield lab
