"""An embedded cluster: master, home and nodes, all on this machine and started together.

Each node gets its own UTS, PID and mount namespace where root or user namespaces allow it.
"""

import functools
import os
import time
from contextlib import suppress
from pathlib import Path

from glunix import config
from glunix.cluster.folder import locked
from glunix.cluster.isolation import cannot_isolate, mount_own_proc
from glunix.cluster.members import Member, members, save
from glunix.cluster.processes import (
    READY_TIMEOUT,
    fork_member,
    many_connections,
    many_descriptors,
    stop,
    wait_back,
    wait_ready,
)
from glunix.errors import GlunixError


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
