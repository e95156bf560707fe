"""Control groups (cgroups(7)): what belongs to a job, and what one user's jobs may take of a node.

Owns one parent group for each daemon, named after it; below it a group for each user, and in that
one for each job. Membership is inherited, and only root leaves a group: what a process says of
itself (its environment, session, title) does not matter. The hierarchy of version 2 is used where
groups can be made in it, else version 1's freezer or pids. Shares of users need the controllers
pids and cpu, of either version; the one, or both, may be missing. Never: a decision when.
"""

import contextlib
import dataclasses
import errno
import os
import resource
import signal
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from slic.kernel import clone

PROCS = "cgroup.procs"

LEAF = "glunix.daemon"
"""Where a daemon goes that was alone in its group of version 2, so that the others can be beside
it (`delegate`)."""

KEPT, ENDED = "k", "j"
"""First letters of the groups of jobs whose leavings stay (--keep), and of all others."""

SWEEP_MOST = 1.0
"""Seconds until what was killed has left its group; what hangs in the kernel is left to it."""

CPU_SHARES = 512
"""Of the controller cpu, for all users' jobs together, for each processor: a third of it against
one ordinary process (1024), such as a daemon or a shell, and all that nobody else wants."""


@dataclasses.dataclass(frozen=True)
class Hierarchy:
    """A mounted hierarchy, and the group in it below which we make ours."""

    version: int
    controllers: frozenset[str]
    folder: Path


def hierarchies(proc: Path = Path("/proc/self")) -> Iterator[Hierarchy]:
    """What is mounted, with our own group (proc(5), mountinfo; cgroups(7), /proc/PID/cgroup)."""
    own = {}
    for line in (proc / "cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        own[frozenset(names.split(",")) - {""}] = path
    for line in (proc / "mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        root, where = left.split()[3:5]
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2":
            names_of = frozenset[str]()
        elif kind == "cgroup":
            words = set(options.split(","))
            names_of = next((names for names in own if names and names <= words), frozenset("?"))
        else:
            continue
        path = own.get(names_of, root).removesuffix(f"/{LEAF}") or "/"
        inside = os.path.relpath(path, root) if path.startswith(root) else "."
        folder = Path(os.path.normpath(f"{where}/{inside}"))
        yield Hierarchy(
            1 + (kind == "cgroup2"), names_of, folder if folder.is_dir() else Path(where)
        )


def _try(folder: Path) -> bool:
    """OSError when groups cannot be made and entered below `folder`; whether a child can be born
    there (slic.kernel.clone)."""
    probe = folder / f"glunix.probe.{os.getpid()}"
    probe.mkdir()
    try:
        os.close(os.open(probe / PROCS, os.O_WRONLY | os.O_CLOEXEC))
        clone.probe(probe)
    except OSError as error:
        if error.filename is not None:
            raise
        return False
    finally:
        _remove_soon(probe)
    return True


def _remove_soon(group: Path) -> None:
    """Remove a group whose last process has just ended: the kernel lets it go a moment later."""
    end = time.monotonic() + SWEEP_MOST
    while True:
        try:
            group.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() >= end:
                raise
            time.sleep(0.001)
        else:
            return


@dataclasses.dataclass(frozen=True)
class Places:
    """Where groups are made: of jobs, and of users for each controller (None: it is missing)."""

    members: Hierarchy
    pids: Hierarchy | None
    cpu: Hierarchy | None
    births: bool = False
    """Whether a child can begin in the group of a job."""

    def __str__(self) -> str:
        what = "v2" if self.members.version == 2 else "v1 " + ",".join(self.members.controllers)
        parts = [f"jobs by {what}"]
        for name, place in (("pids", self.pids), ("cpu", self.cpu)):
            parts.append(f"{name} by v{place.version}" if place else f"no share of {name}")
        return ", ".join([*parts, "children begin there"] if self.births else parts)


def find_places(proc: Path = Path("/proc/self")) -> Places:
    """What can be used here; OSError with the first reason when jobs cannot have groups."""
    good: list[Hierarchy] = []
    births: set[Hierarchy] = set()
    first: OSError | None = None
    for found in hierarchies(proc):
        try:
            if _try(found.folder):
                births.add(found)
        except OSError as error:
            first = first or error
        else:
            good.append(found)

    def having(*names: str) -> Hierarchy | None:
        return next((h for name in names for h in good if name in h.controllers), None)

    second = next((h for h in good if h.version == 2), None)
    members = second or having("freezer", "pids")
    if members is None:
        raise first or FileNotFoundError(2, "no cgroup file system is mounted")
    offered = _offered(second)
    pids, cpu = (having(name) or (second if name in offered else None) for name in ("pids", "cpu"))
    return Places(members, pids, cpu, members in births)


def _offered(second: Hierarchy | None) -> set[str]:
    """Controllers that groups below ours in version 2 may have."""
    if second is None:
        return set()
    try:
        return set((second.folder / "cgroup.subtree_control").read_text().split())
    except OSError:
        return set()


def delegate(proc: Path = Path("/proc/self")) -> None:
    """Have controllers of version 2 for groups below ours, if we are alone in it (systemd's
    Delegate=yes): processes and controllers for others do not go together in one group."""
    for found in hierarchies(proc):
        with contextlib.suppress(OSError):
            if found.version == 2 and found.folder != Path("/sys/fs/cgroup"):
                if (found.folder / PROCS).read_text().split() != [str(os.getpid())]:
                    continue
                (found.folder / LEAF).mkdir(exist_ok=True)
                (found.folder / LEAF / PROCS).write_text("0")
                (found.folder / "cgroup.subtree_control").write_text("+pids +cpu")


def parent_name(folder: Path, node: str) -> str:
    """The name of the parent of all groups of this daemon, the same at its next start."""
    return f"glunix.{node}.{zlib.crc32(os.fsencode(folder)):08x}"


def limit_tasks(most: int) -> None:
    """Let the user of this process have no more than so many (RLIMIT_NPROC, getrlimit(2)).

    Besides pids.max, because of when a fork fails: by this limit before the kernel has copied
    anything, by the group's after that and with a lock held, for which every entry into any group
    waits. Thousands that all try to fork would keep others' jobs from starting.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    unlimited = resource.RLIM_INFINITY
    soft, hard = (most if now == unlimited else min(now, most) for now in (soft, hard))
    resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))


class JobGroup:
    """The group of one job. Files of it are ours alone to write."""

    def __init__(
        self,
        path: Path,
        entries: list[Path],
        most: int | None,
        full: Callable[[], bool],
        gone: Callable[[], None],
        births: bool = False,
    ) -> None:
        self._path = path
        self._births = births
        self._most = most
        self.entries = entries
        """Files into which a process of the job is written."""
        self._gone: Callable[[], None] | None = gone
        self.full = full
        """Whether its user has all the processes and threads here that he may have."""

    @contextlib.contextmanager
    def begin(self) -> Iterator[tuple[int, list[Path]]]:
        """Where a child can begin (slic.kernel.clone.fork_into; -1: nowhere), and the files that
        it is written into besides."""
        if not self._births:
            yield -1, self.entries
            return
        fd = os.open(self._path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield fd, [entry for entry in self.entries if entry.parent != self._path]
        finally:
            os.close(fd)

    def enter(self) -> None:
        """Move the calling process there: between fork and the loss of root's rights."""
        self.move(0)
        self.limit()

    def move(self, pid: int, entries: Iterable[Path] | None = None) -> None:
        """Move this process there (0: the caller), and so all that it will fork. OSError."""
        for path in self.entries if entries is None else entries:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, str(pid).encode())
            finally:
                os.close(fd)

    def limit(self) -> None:
        """Let the user of the calling process have as much as he may have here."""
        if self._most is not None:
            limit_tasks(self._most)

    def members(self) -> list[int]:
        """Pids in it, and in groups that a job of root made below it; 0: not in our namespace."""
        return _members(self._path)

    def signal(self, numbers: tuple[int, ...], but: set[int]) -> None:
        """Send these to all members but some."""
        _signal(self._path, numbers, but)

    def kill(self) -> None:
        """SIGKILL to all, also to what forks meanwhile."""
        _kill(self._path)

    def remove(self) -> bool:
        """Remove it; False while something is in it."""
        if not _remove(self._path):
            return False
        if self._gone is not None:
            self._gone()
            self._gone = None
        return True


def _tree(path: Path) -> list[Path]:
    """This group and those below it, the lowest first."""
    found = [path]
    with contextlib.suppress(OSError):
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                found[:0] = _tree(Path(entry.path))
    return found


def _members(path: Path) -> list[int]:
    found = []
    for group in _tree(path):
        with contextlib.suppress(OSError):
            found += [int(word) for word in (group / PROCS).read_text().split()]
    return found


def _signal(path: Path, numbers: tuple[int, ...], but: set[int]) -> None:
    for pid in _members(path):
        if pid > 0 and pid not in but:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                for number in numbers:
                    os.kill(pid, number)


def _kill(path: Path) -> None:
    with contextlib.suppress(OSError):
        (path / "cgroup.kill").write_text("1")  # version 2, since Linux 5.14
        return
    freezer = path / "freezer.state"
    with contextlib.suppress(OSError):
        freezer.write_text("FROZEN")  # nobody forks while the others are killed
    _signal(path, (signal.SIGKILL,), set())
    with contextlib.suppress(OSError):
        freezer.write_text("THAWED")


def _remove(path: Path) -> bool:
    for group in _tree(path):
        try:
            group.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return False
    return True


class Cgroups:
    """The groups of one daemon. `tasks`: processes and threads that one user may have in his."""

    def __init__(self, places: Places, name: str, tasks: int) -> None:
        self.places = places
        self._name = name
        self._tasks = tasks
        self._serial = 0
        self._jobs: Counter[int] = Counter()
        """uid -> its jobs that have a group."""
        self._leaving: set[int] = set()
        """Users whose last job is over, and whose groups may be there yet."""

    def _parents(self) -> list[Path]:
        places = (self.places.members, self.places.pids, self.places.cpu)
        return list({place.folder / self._name: None for place in places if place is not None})

    def sweep(self) -> list[Path]:
        """End and remove what a daemon of this name left. Returns what could not be removed.

        Only kept jobs (KEPT) are spared: they are to outlive us.
        """
        end = time.monotonic() + SWEEP_MOST
        while True:
            for parent in self._parents():
                for job in parent.glob(f"u*/{ENDED}*"):
                    _kill(job)
            left = [parent for parent in self._parents() if parent.exists() and not _swept(parent)]
            if not left or self._only_kept() or time.monotonic() >= end:
                return left
            time.sleep(0.005)

    def _only_kept(self) -> bool:
        parent = self.places.members.folder / self._name
        return not any(parent.glob(f"u*/{ENDED}*")) and any(parent.glob(f"u*/{KEPT}*"))

    def job(self, uid: int, npid: int, keep: bool, counted: bool) -> JobGroup:
        """Make a group for a job; `counted`: its user's shares hold for it. OSError when it fails.

        The same job may have several, of several streams.
        """
        self._serial += 1
        kind = KEPT if keep else ENDED
        user = self._user(self.places.members, uid, counted)
        path = user / f"{kind}{npid}.{os.getpid()}.{self._serial}"
        path.mkdir()
        entries = [path / PROCS]
        pids = None
        for place in (self.places.pids, self.places.cpu):
            if place is not None and counted:
                group = self._user(place, uid, counted)
                if place == self.places.pids:
                    pids = group
                if group != user and group / PROCS not in entries:
                    entries.append(group / PROCS)
        self._jobs[uid] += 1
        full = lambda: pids is not None and self._is_full(pids)  # noqa: E731
        most = self._tasks if counted else None
        gone = lambda: self._one_less(uid)  # noqa: E731
        return JobGroup(path, entries, most, full, gone, self.places.births)

    def _one_less(self, uid: int) -> None:
        """The user's groups go with his last job: what was forked for another enters them yet."""
        self._jobs[uid] -= 1
        if self._jobs[uid] <= 0:
            del self._jobs[uid]
            self._leaving.add(uid)
            self.tidy()

    def tidy(self) -> None:
        """Remove groups of users who have no job any more. A session server can still be there."""
        for uid in list(self._leaving):
            groups = [parent / f"u{uid}" for parent in self._parents()]
            for group in groups:
                with contextlib.suppress(OSError):
                    group.rmdir()
            if uid in self._jobs or not any(group.is_dir() for group in groups):
                self._leaving.discard(uid)

    def _is_full(self, group: Path) -> bool:
        try:
            return int((group / "pids.current").read_text()) >= self._tasks
        except (OSError, ValueError):
            return False

    def _user(self, place: Hierarchy, uid: int, counted: bool) -> Path:
        """The group of a user in this hierarchy, made when he comes for the first time."""
        parent = place.folder / self._name
        if not parent.is_dir():
            parent.mkdir(exist_ok=True)
            if place == self.places.cpu and place.version == 1:
                shares = CPU_SHARES * (os.cpu_count() or 1)
                (parent / "cpu.shares").write_text(str(min(shares, 1 << 18)))
            if place.version == 2 and place in (self.places.pids, self.places.cpu):
                wanted = [n for n in ("pids", "cpu") if place == getattr(self.places, n)]
                (parent / "cgroup.subtree_control").write_text(" ".join(f"+{n}" for n in wanted))
        group = parent / f"u{uid}"
        if not group.is_dir():
            group.mkdir(exist_ok=True)
            if counted and place == self.places.pids:
                (group / "pids.max").write_text(str(self._tasks + self._tasks // 4))
        return group


def _swept(parent: Path) -> bool:
    """Remove all groups below that are empty; whether all were."""
    done = [_remove(group) for group in _tree(parent)]
    return all(done)


def find(name: str, tasks: int) -> tuple[Cgroups | None, str]:
    """The groups for a daemon, or None; and in words which they are, or why there are none."""
    try:
        places = find_places()
    except OSError as error:
        return None, error.strerror or str(error)
    return Cgroups(places, name, tasks), str(places)
