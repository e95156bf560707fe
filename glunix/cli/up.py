"""`glunix up` and `glunix down`: an embedded cluster, every daemon a process of this machine.

Owns cluster.json (what was started: name, pid, start time), the forking and the waiting. Each node
gets its own UTS, PID and mount namespace where root or user namespaces allow it; what cannot be had
is said. Everything is forked from one process, so the imports are paid once.
"""

import argparse
import functools
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from glunix import config, settings
from glunix.cli import launchers
from glunix.cli.common import one_line
from glunix.cluster.folder import cluster_folder, locked
from glunix.cluster.hosts import resolve_own
from glunix.cluster.isolation import ISOLATED, cannot_isolate, leave_shared, mount_own_proc
from glunix.cluster.native_code import compile_all
from glunix.errors import GlunixError

NODES = 4
READY_TIMEOUT = 60.0
DESCRIPTORS = 1 << 18
STOP_TIMEOUT = 8.0


class Member:
    """One process of the cluster, told apart from a later one with its pid by its start time."""

    def __init__(self, name: str, pid: int, born: int, isolated: list[str]) -> None:
        self.name = name
        self.pid = pid
        self.born = born
        self.isolated = isolated

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self.born != 0 and birth(self.pid) == self.born


def birth(pid: int) -> int:
    """Start time in clock ticks since boot (proc(5), stat field 22); 0 when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def members(folder: Path) -> list[Member]:
    """What cluster.json says was started; empty when there is none or it is damaged."""
    try:
        rows = json.loads((config.private(folder) / "cluster.json").read_text())
        return [Member(str(r["name"]), int(r["pid"]), int(r["born"]), r["isolated"]) for r in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def save(folder: Path, all_members: list[Member]) -> None:
    """Write cluster.json, whole."""
    path = config.private(folder) / "cluster.json"
    draft = path.with_suffix(".new")
    rows = [
        {"name": m.name, "pid": m.pid, "born": m.born, "isolated": m.isolated} for m in all_members
    ]
    draft.write_text(json.dumps(rows))
    draft.replace(path)


# -- namespaces ------------------------------------------------------------------------------


# -- starting --------------------------------------------------------------------------------


Serve = Callable[[Path, str, tuple[str, ...], int], int]
"""(state folder, name, isolated, ready descriptor) -> exit status."""


def fork_member(
    folder: Path, name: str, isolate: bool, serve: Serve | None = None
) -> tuple[int, int]:
    """Fork one daemon or master; returns (ready descriptor, pid of the direct child)."""
    ready_r, ready_w = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(ready_w)
        return ready_r, pid
    status = 70
    try:
        # No exec follows, so close-on-exec does not help: the lock and the others' pipes go now.
        os.closerange(3, ready_w)
        os.closerange(ready_w + 1, 1 << 20)
        os.setsid()
        own_signals()
        _redirect(config.private(folder) / f"{name}.log")
        isolated = ISOLATED if isolate else ()
        if isolate:
            leave_shared(name)
            resolve_own(folder, name)
        told_r, told_w = os.pipe()
        inner = os.fork()  # into the new PID namespace, and away from our parent
        if inner:
            os.write(ready_w, f"pid {inner} {','.join(isolated)}\n".encode())
            os._exit(0)
        os.close(told_w)
        os.read(told_r, 1)  # until the outer process has ended: its pid line comes before "ready"
        os.close(told_r)
        status = (serve or _serve)(folder, name, isolated, ready_w)
    except GlunixError as error:
        print(f"error: {error}", flush=True)
    except BaseException:  # the one place where a bug of a daemon becomes its log's last words
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def own_signals() -> None:
    """Dispositions of a daemon, whatever the tool or the user's shell had set.

    A filter dies of SIGPIPE, a daemon must not; and what `nohup glunix up` ignores is not to be
    ignored by every job.
    """
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def many_descriptors() -> None:
    """A daemon has some for every process of every job; jobs have the limits of their home."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _redirect(log: Path) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(out)
    os.chdir("/")


def _serve(
    folder: Path, name: str, isolated: tuple[str, ...], ready_fd: int, setuid: bool = False
) -> int:
    from glunix.daemon.daemon import DaemonConfig, Ready, run_daemon
    from glunix.master.server import run_master

    if "pid" in isolated:
        mount_own_proc()
    os.umask(0o022)
    many_descriptors()
    with suppress(OSError):
        Path("/proc/self/comm").write_text(f"glunix:{name}"[:15])
    if name in ("master", config.HOME_NODE):
        many_connections()  # not where jobs run: they would start with another limit than theirs
    if name == "master":
        return run_master(folder, "embedded", Ready(ready_fd))
    accepts = name != config.HOME_NODE
    return run_daemon(DaemonConfig(folder, name, accepts, isolated, setuid=setuid), ready_fd)


def many_connections() -> None:
    """As many descriptors as may be had: each client and each daemon takes one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def wait_ready(
    folder: Path, waiting: dict[int, str], deadline: float, started: Callable[[Member], None]
) -> None:
    """Read each ready pipe until it says ready; GlunixError names who did not, and its log."""
    poll = select.poll()
    heard: dict[int, bytes] = {}
    known: set[int] = set()
    for fd in waiting:
        poll.register(fd, select.POLLIN)
        heard[fd] = b""
    while waiting:
        left = deadline - time.monotonic()
        events = poll.poll(max(0, left) * 1000)
        if not events:
            names = ", ".join(sorted(waiting.values()))
            raise GlunixError(f"not ready after {READY_TIMEOUT:.0f} s: {names}; see `glunix logs`")
        for fd, _ in events:
            data = os.read(fd, 4096)
            heard[fd] += data
            # Two processes write here, the node and the parent that tells its pid: in any order.
            said = {line.split(b" ")[0]: line for line in heard[fd].split(b"\n")[:-1]}
            if b"pid" in said and fd not in known:
                known.add(fd)
                started(_member(waiting[fd], said[b"pid"]))
            if len(said) == 2:
                poll.unregister(fd)
                del waiting[fd]
            elif not data:
                name = waiting[fd]
                last = _last_line(config.private(folder) / f"{name}.log")
                _note_rest({k: v for k, v in waiting.items() if k not in known}, started)
                raise GlunixError(f"{name} did not start: {last}")


def _note_rest(waiting: dict[int, str], started: Callable[[Member], None]) -> None:
    """One did not start: the others are to be stopped, also those whose pid was not read yet.

    It is there to read: who wrote it has ended and was waited for.
    """
    for fd, name in waiting.items():
        os.set_blocking(fd, False)
        with suppress(BlockingIOError):
            for line in os.read(fd, 4096).splitlines():
                if line.startswith(b"pid "):
                    started(_member(name, line))


def _member(name: str, line: bytes) -> Member:
    _, pid, isolated = line.decode().split(" ")
    return Member(name, int(pid), birth(int(pid)), [x for x in isolated.split(",") if x])


def wait_back(folder: Path, names: set[str], deadline: float) -> None:
    """A master came to daemons that were there before: wait until they have found it."""
    from glunix import api

    missing = names
    while missing:
        if time.monotonic() > deadline:
            raise GlunixError(f"not back after {READY_TIMEOUT:.0f} s: {', '.join(sorted(missing))}")
        with suppress(GlunixError):  # home itself may be one that is not back yet
            missing = names - {row.name for row in api.nodes(folder) if row.state == "up"}
        if missing:
            select.select([], [], [], 0.02)


def _check_sockets(folder: Path, alive: list[Member]) -> None:
    """Who cannot be reached any more does not come back by waiting."""
    for member in alive:
        if member.name == "master":
            path = config.master_socket(folder)
        else:
            path = config.client_socket(folder, member.name)
        if not path.is_socket():
            raise GlunixError(
                f"{member.name} runs but {path} is gone: `glunix down` (its jobs end), then `up`"
            )


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "its log is empty"


def start_cluster(
    folder: Path, nodes: int, setuid: bool = False
) -> tuple[list[Member], list[Member]]:
    """Start what is missing of a master, a home daemon and `nodes` nodes; waits until ready.

    `setuid`: transparent jobs run setuid programs with their rights.

    Returns (all members, those started now). GlunixError when something does not get ready; what
    was started by this call is then stopped again.
    """
    import glunix.daemon.daemon
    import glunix.master.server  # noqa: F401  (imported before forking, so paid once)

    deadline = time.monotonic() + READY_TIMEOUT
    with locked(folder, READY_TIMEOUT):
        alive = [m for m in members(folder) if m.alive]
        _check_sockets(folder, alive)
        have = {m.name for m in alive}
        wanted = ["master", config.HOME_NODE, *(f"node{i}" for i in range(1, nodes + 1))]
        started: list[Member] = []

        def note(member: Member) -> None:
            started.append(member)
            save(folder, alive + started)

        pipes: list[int] = []
        why_shared = cannot_isolate()
        try:
            for batch in (["master"], wanted[1:]):
                waiting: dict[int, str] = {}
                for name in batch:
                    if name in have:
                        continue
                    isolate = name.startswith("node") and not why_shared
                    serve = functools.partial(_serve, setuid=setuid)
                    fd, child = fork_member(folder, name, isolate, serve)
                    pipes.append(fd)
                    waiting[fd] = name
                    os.waitpid(child, 0)
                wait_ready(folder, waiting, deadline, note)
            if alive and any(m.name == "master" for m in started):
                wait_back(folder, {m.name for m in alive}, deadline)
        except BaseException:
            stop(started)
            raise
        finally:
            for fd in pipes:
                os.close(fd)
        everybody = alive + started
        save(folder, everybody)
        return everybody, started


# -- stopping --------------------------------------------------------------------------------


def stop(who: list[Member]) -> list[Member]:
    """SIGTERM, then SIGKILL after a deadline; returns those that had to be killed."""
    fds: dict[int, Member] = {}
    for member in who:
        try:
            fd = os.pidfd_open(member.pid)
        except ProcessLookupError:
            continue
        if member.alive:
            signal.pidfd_send_signal(fd, signal.SIGTERM)
            fds[fd] = member
        else:
            os.close(fd)
    killed: list[Member] = []
    for number, limit in ((signal.SIGTERM, STOP_TIMEOUT), (signal.SIGKILL, STOP_TIMEOUT)):
        if number == signal.SIGKILL:
            for fd, member in fds.items():
                killed.append(member)
                signal.pidfd_send_signal(fd, number)
        _await_exit(fds, time.monotonic() + limit)
    for fd in fds:
        os.close(fd)
    return killed


def _await_exit(fds: dict[int, Member], deadline: float) -> None:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    while fds and (left := deadline - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            poll.unregister(fd)
            os.close(fd)
            del fds[fd]


def stop_cluster(folder: Path) -> tuple[int, list[str]]:
    """Stop all members; returns (how many were running, names that had to be killed)."""
    if not config.private(folder).is_dir():
        return 0, []
    with locked(folder, READY_TIMEOUT):
        known = members(folder)
        alive = [m for m in known if m.alive]
        # Homes and nodes first: they end their jobs and tell the master.
        killed = stop([m for m in alive if m.name != "master"])
        killed += stop([m for m in alive if m.name == "master"])
        _sweep_groups(folder, [m.name for m in known if m not in alive or m in killed])
        # By name: the folder may be one that others keep their sockets in, as /run.
        sockets = [folder / f"{m.name}.sock" for m in known if m.name != "master"]
        if sockets:
            sockets.append(folder / f"{config.HOME_NODE}.sock")
        for path in [*sockets, *config.private(folder).glob("*.sock")]:
            path.unlink(missing_ok=True)
        (config.private(folder) / "cluster.json").unlink(missing_ok=True)
        return len(alive), [m.name for m in killed]


def _sweep_groups(folder: Path, names: list[str]) -> None:
    """Remove the control groups of daemons that did not do it themselves: they were killed."""
    from glunix.node.processes import cgroups

    for name in names:
        groups, _ = cgroups.find(cgroups.parent_name(folder, name), 0)
        if groups is not None:
            groups.sweep()


# -- the commands ----------------------------------------------------------------------------


def run_up(args: argparse.Namespace) -> int:
    """`glunix up [-n N]`: start what is missing; returns when the cluster is ready."""
    folder = config.state_dir().absolute()  # daemons work in /
    if settings.path_of(cluster_folder()).exists():
        from glunix.cli import services

        return services.run_services(args)
    if args.nodes is None:
        args.nodes = NODES
    everybody, started = start_cluster(folder, args.nodes, args.setuid)
    compile_all(str(folder))
    launchers.improve()
    nodes = [m for m in everybody if m.name.startswith("node")]
    nodes.sort(key=lambda m: (len(m.name), m.name))  # one that was started again comes last
    if args.json:
        rows = [{"name": m.name, "pid": m.pid, "isolated": m.isolated} for m in everybody]
        new = [m.name for m in started]
        print(json.dumps({"folder": str(folder), "members": rows, "started": new}))
        return 0
    if not started:
        print(f"cluster is already up: {len(nodes)} nodes ({folder})")
        return 0
    names = f"{nodes[0].name}..{nodes[-1].name}" if len(nodes) > 1 else nodes[0].name
    print(f"cluster is up: master, home and {len(nodes)} nodes ({names}) in {folder}")
    shared = [m.name for m in nodes if "pid" not in m.isolated]
    if shared:
        print(
            f"note: {len(shared)} nodes share host name, pids and mounts with this machine "
            f"({cannot_isolate() or 'when they started'}): programs run, but `remote` cannot be "
            "told from home"
        )
    return 0


def run_down(args: argparse.Namespace) -> int:
    """`glunix down`: stop everything that `up` started."""
    folder = config.state_dir().absolute()  # daemons work in /
    if settings.path_of(cluster_folder()).exists():
        folder = Path(settings.state_said(cluster_folder()) or cluster_folder()).absolute()
        try:
            settings.read(cluster_folder())
        except settings.SettingsError as error:  # no reason to let the cluster run
            print(f"glunix: note: {one_line(str(error))}", file=sys.stderr)
    count, killed = stop_cluster(folder)
    if args.json:
        print(json.dumps({"folder": str(folder), "ended": count, "killed": killed}))
        return 0
    print("no cluster is up" if count == 0 else f"cluster is down ({count} processes ended)")
    if killed:
        print(f"had to be killed: {', '.join(killed)}", file=sys.stderr)
    return 0
