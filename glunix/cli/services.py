"""`glunix master`, `glunix daemon`, and `up` where glunix.toml is.

Owns how a service runs (signals, readiness for systemd, descriptors). Background ones are told of
in cluster.json like those of an embedded cluster, so that `down` and `logs` know them.
"""

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from glunix import config, settings
from glunix.cli import launchers
from glunix.cluster.embedded import stop_cluster
from glunix.cluster.folder import cluster_folder, locked, made_safe
from glunix.cluster.members import Member, members, save
from glunix.cluster.native_code import compile_all
from glunix.cluster.processes import (
    READY_TIMEOUT,
    Serve,
    fork_member,
    many_connections,
    many_descriptors,
    own_signals,
    stop,
    wait_back,
    wait_ready,
)
from glunix.errors import Refused
from glunix.ids import Why

MASTER = "master"
READY_FD = "GLUNIX_READY_FD"
"""Environment: the descriptor on which a background service says to `up` that it is ready."""


def state_of(folder: Path, conf: settings.Settings) -> Path:
    """The folder of sockets and journal."""
    return Path(conf.state).absolute() if conf.state else folder


class Notify:
    """Tells systemd that the service is ready (sd_notify(3)), and says so on stdout. Once."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._told = False

    def __call__(self) -> None:
        if self._told:
            return
        self._told = True
        print(f"{self._what} is ready", flush=True)
        notify(f"READY=1\nSTATUS={self._what} is ready")


def notify(text: str) -> None:
    """Send a state to systemd, if it started us."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where:
        return
    name = "\0" + where[1:] if where.startswith("@") else where
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(text.encode(), name)
        except OSError as error:
            print(f"cannot tell systemd: {error.strerror}", flush=True)


def _prepare(folder: Path, conf: settings.Settings) -> Path:
    state = state_of(folder, conf)
    made_safe(state)
    os.umask(0o022)
    os.chdir("/")
    return state


def _serve_master(folder: Path, conf: settings.Settings, ready: Callable[[], None]) -> int:
    from glunix.master import admission

    many_connections()
    return admission.serve(folder, state_of(folder, conf), conf, ready)


def _serve_daemon(folder: Path, conf: settings.Settings, ready: Callable[[], None]) -> int:
    from glunix.daemon import service

    many_descriptors()
    return service.serve(folder, state_of(folder, conf), conf, ready)


def run_master(args: argparse.Namespace) -> int:
    """`glunix master`: serve in the foreground until SIGTERM."""
    folder = cluster_folder(args.folder)
    conf = settings.read(folder)
    _prepare(folder, conf)
    own_signals()
    return _served(_serve_master(folder, conf, _ready("master")))


def run_daemon(args: argparse.Namespace) -> int:
    """`glunix daemon`: serve in the foreground until SIGTERM."""
    folder = cluster_folder(args.folder)
    conf = settings.read(folder)
    compile_all(str(_prepare(folder, conf)))
    launchers.improve()
    own_signals()
    return _served(_serve_daemon(folder, conf, _ready(f"daemon {conf.daemon.node}")))


def _served(status: int) -> int:
    notify("STOPPING=1")
    return status


def _ready(what: str) -> Callable[[], None]:
    fd = os.environ.pop(READY_FD, "")
    if not fd.isdecimal():
        return Notify(what)
    from glunix.daemon.daemon import Ready

    os.set_inheritable(int(fd), False)
    return Ready(int(fd))


def older_than(state: Path, path: Path) -> list[str]:
    """Services in the background that started before the file was written: they do not know it."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    ago = time.time() - path.stat().st_mtime
    ticks = os.sysconf("SC_CLK_TCK")
    found = [member for member in members(state) if member.alive]
    return [member.name for member in found if now - member.born / ticks > ago + 0.02]


# -- in the background -----------------------------------------------------------------------


def this_tool() -> list[str]:
    """The words that started this tool, without its arguments; good from any directory."""
    script = len(sys.orig_argv) - len(sys.argv)
    words = [sys.executable, *sys.orig_argv[1 : script + 1]]
    words = [word for word in words if not word.startswith("-Xglunix=")]  # of this start alone
    if Path(words[-1]).exists():
        words[-1] = str(Path(words[-1]).absolute())
    return words


def start(folder: Path) -> tuple[list[Member], list[Member]]:
    """Start what this machine has of the cluster and does not run; returns (all, started now).

    GlunixError when something does not get ready; what was started by this call is stopped again.
    """
    conf = settings.read(folder)
    state = state_of(folder, conf)
    node, tool = conf.daemon.node, this_tool()

    def serve(_: Path, name: str, isolated: tuple[str, ...], ready_fd: int) -> int:
        """Become `glunix daemon`: our own words may hold an invitation, which ps(1) would show."""
        os.set_inheritable(ready_fd, True)
        env = {**os.environ, READY_FD: str(ready_fd)}
        work = MASTER if name == MASTER else "daemon"
        os.execve(tool[0], [*tool, work, "--folder", str(folder)], env)

    with locked(state, READY_TIMEOUT):
        alive = [m for m in members(state) if m.alive]
        have = {m.name for m in alive}
        wanted = [MASTER, node] if conf.master is not None else [node]
        started: list[Member] = []

        def note(member: Member) -> None:
            started.append(member)
            save(state, alive + started)

        try:
            for name in wanted:
                if name not in have:
                    _start_one(state, name, serve, note)
            if node in have and any(m.name == MASTER for m in started):
                wait_back(state, {node}, time.monotonic() + READY_TIMEOUT)
        except BaseException:
            stop(started)
            save(state, alive)
            raise
        return alive + started, started


def _start_one(state: Path, name: str, serve: Serve, note: Callable[[Member], None]) -> None:
    fd, child = fork_member(state, name, isolate=False, serve=serve)
    try:
        os.waitpid(child, 0)
        deadline = time.monotonic() + READY_TIMEOUT
        wait_ready(state, {fd: name}, deadline, note)
    finally:
        os.close(fd)


def run_services(args: argparse.Namespace) -> int:
    """`glunix up` on a machine of a cluster."""
    if args.nodes is not None:
        text = "this machine is part of a cluster of machines: leave out -n (or set GLUNIX_DIR)"
        raise Refused(Why.BAD_REQUEST, text)
    folder = cluster_folder()
    if args.setuid:
        text = f"this machine is part of a cluster: write `setuid = true` into {folder}/glunix.toml"
        raise Refused(Why.BAD_REQUEST, text)
    everybody, started = start(folder)
    if args.json:
        rows = [{"name": m.name, "pid": m.pid, "isolated": m.isolated} for m in everybody]
        print(json.dumps({"folder": str(folder), "members": rows,
                          "started": [m.name for m in started]}))  # fmt: skip
        return 0
    names = " and ".join(m.name for m in everybody)
    print(f"{names}: {'started' if started else 'already up'} ({folder})")
    return 0


def stop_all(folder: Path) -> tuple[int, list[str]]:
    """Stop this machine's services that `up` or `join` started; as `stop_cluster`."""
    if not settings.path_of(folder).exists():
        return stop_cluster(config.state_dir().absolute())
    return stop_cluster(Path(settings.state_said(folder) or folder).absolute())
