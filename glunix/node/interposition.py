"""What of a transparent job's calls is caught on its node, and by which engine (DESIGN 5).

Owns the choice: a namespace where the kernel can answer by itself, interposers for what is left,
and no engine at all when nothing is. The supervisor serves what comes of it.
"""

import contextlib
import errno
import os
import socket

from glunix.msg.job import AT_HOME, JobSpec, Owner
from glunix.node.calls.mounts import HomePlaces
from glunix.node.descriptors.standins import StandIns
from glunix.node.processes.foreign import OwnersPolicy
from glunix.node.spawn.exec import StepFailed
from slic.engine import EngineUnavailable, Launch, MissingCapability
from slic.interposer import Interposer
from slic.interposers.home.copies import HomeCopies
from slic.interposers.home.descriptors import HomeFds
from slic.interposers.home.files import HomeFiles
from slic.interposers.home.forks import Forks, PidSource
from slic.interposers.home.groups import Groups
from slic.interposers.home.kind import HomeKind
from slic.interposers.home.mesg import HomeMesg
from slic.interposers.home.ownfilter import OwnFilter
from slic.interposers.home.paths import HomePaths
from slic.interposers.home.reopens import HomeReopens
from slic.interposers.home.sockets import SOCKETS, HomeSockets
from slic.interposers.home.stdio import HomeStdio
from slic.interposers.home.writes import HomeWrites
from slic.interposers.identity import Identity
from slic.kernel.pidfd import status_fields
from slic.kernel.prctl import CLONE_NEWUTS, set_domain_name, unshare
from slic.policy import Policy
from slic.registry import select

DEFAULT_ENGINE = "unotify"
FILTERING = ("unotify", "ptrace-seccomp")


class Interposing:
    """Made in the supervisor before it forks the program. StepFailed when it cannot be."""

    def __init__(
        self,
        spec: JobSpec,
        owner: Owner,
        stand_ins: StandIns,
        pids: PidSource | None,
        setuid: bool = False,
    ) -> None:
        """`numbers` are to hear of what begins by a caught call; None: they hear otherwise
        (glunix.node.processes.forkwatch). `setuid`: the job may run programs with more rights than
        its owner has. What these go by is then this node's own, whatever home says: their files,
        their host name (sudoers(5)), and of all calls but plain reads and the terminal's the
        kernel's answer
        (glunix.node.processes.foreign).
        """
        self.launch: Launch | None = None
        """None: there is nothing to catch, and the job runs at native speed."""
        self.reaps = False
        """Whether the engine waits for the job's processes in our stead."""
        self.fds: HomeFds | None = None
        self.places: HomePlaces | None = None
        """Directories of home, when the job has any (--home)."""
        domain = "" if spec.carried is None else spec.carried.domain
        interposers = _host_name(spec.home_host, domain, own=not setuid)
        held = {one.kind for one in (*spec.standard, *spec.inherited)} & AT_HOME.keys()
        if stand_ins.interposed or spec.home_paths or held:
            self.fds = HomeFds(stand_ins.interposed, opens=bool(spec.home_paths or held))
            if spec.home_paths or "dir" in held:
                native = stand_ins.native_names()
                interposers.append(HomePaths(self.fds, spec.home_paths, native))
            if held & set(SOCKETS):
                interposers.append(HomeSockets(self.fds))
            if spec.home_paths or held:
                interposers.append(HomeFiles(self.fds))
            if spec.home_paths:
                self.places = HomePlaces([] if setuid else spec.home_paths, owner)
                with contextlib.suppress(OSError):  # chdir(2) will say so
                    self.places.make(spec.cwd)
            else:
                self.places = HomePlaces([], owner)
            if spec.tty is not None:
                interposers.append(HomeMesg(self.fds))
            if stand_ins.files and spec.checked_writes:
                interposers.append(HomeWrites(self.fds))
            files = [one for one in stand_ins.interposed if one.kind == "file"]
            if stand_ins.files or files or held:
                whole = bool(spec.home_paths or held)
                interposers.insert(0, HomeReopens(self.fds, bool(files or held), whole))
                given = next((one for one in files if one.fd == 0), None)
                interposers.insert(0, HomeKind(self.fds))  # before HomeFiles, which refuses
                interposers.append(HomeStdio(self.fds, given))
            if any(one.kind in ("file", "tty") for one in stand_ins.interposed):
                interposers.append(HomeCopies(self.fds, stand_ins.read_files))
            interposers.append(self.fds)
        if spec.pids is not None:
            interposers += [Groups()] if pids is None else [Forks(pids), Groups()]
        if interposers:
            interposers += _own_filter(spec.engine or DEFAULT_ENGINE)
            policy = OwnersPolicy(interposers, self.fds) if setuid else Policy(interposers)
            self._prepare(policy, spec.engine or DEFAULT_ENGINE)

    def _prepare(self, policy: Policy, name: str) -> None:
        try:
            engine = select(policy, name)
            self.reaps = engine.reaps
            self.launch = engine.prepare(policy)
        except (EngineUnavailable, MissingCapability) as error:
            raise StepFailed("engine", errno.ENOSYS, f"cannot run transparently: {error}") from None


def _own_filter(engine: str) -> list[Interposer]:
    """The program is not to know of its engine's filter, if it has one and we have none."""
    filters = status_fields(os.getpid()).get("Seccomp_filters", "")
    return [OwnFilter(1)] if filters == "0" and engine in FILTERING else []


def _host_name(host: str, domain: str, own: bool) -> list[Interposer]:
    """Home's host name: from a UTS namespace where there can be one, else by interposition."""
    if not own:
        return [Identity(os.fsencode(host))]
    try:
        unshare(CLONE_NEWUTS)
        socket.sethostname(host)
        if domain:
            set_domain_name(domain)
    except OSError:
        return [Identity(os.fsencode(host))]
    return []
