"""The contract of migration engines: what each promises, and the registry of those there are.

Terms. An *engine* takes the processes of a job apart and builds them again. The *source* is where
they run, the *destination* where they will; both may be the same machine. A *mover* is the process
that does the work: it is the tracer of every task concerned, and it runs nothing else. A *job* is
a process with all its descendants. An *image* is a job at one moment (`migration.image`). The
*owner* is the user whose credentials the job's processes have.

1. Probing. `probe(root)` looks at a running job, stops nothing and changes nothing, and returns
   every reason to stay that can be known: the process, the descriptor or address where there is
   one, and why. It asks for more than one thing at a time, so a user sees the whole list, not the
   first line of it. A job without reasons may still be refused by `freeze`: it went on running.
   A reason is *passing* if trying again a little later may help (a vfork, an unread event).
2. Pre-copy. `precopy(sink)` copies memory while the job runs, in rounds, each carrying what was
   written since the last; it returns what a stop now would still have to carry. The job may see
   its system calls interrupted once, as by a stop and SIGCONT; never a wrong result. Calling it is
   optional, and what it copied may be thrown away.
3. Freezing. `freeze()` returns when every task of the job has stopped, including those that were
   born meanwhile, or raises `Refused` with all reasons; then everything runs again as before. A
   frozen task is in the state it had: pending signals stay pending, a call in progress goes on
   afterwards as after a stop. There is a deadline, and past it the engine raises, job running.
   Freezing is invisible: no signal, no stop is reported to the parent or anybody else.
4. Dumping. While frozen, `dump(sink)` writes the image. It changes nothing in the job that is not
   put back, consumes nothing (bytes in pipes and sockets stay there) and can be repeated.
5. Aborting. `abort()` lets a frozen job go on, at every moment before `leave()`. If the mover ends
   before `leave()`, whatever ended it, the kernel lets the tasks go on: they are traced without
   EXITKILL until then.
6. Leaving. `leave()` arms the death of the frozen tasks (PTRACE_O_EXITKILL): from its return they
   end with the mover. Only the decider (`migration.phases`) may still have them go on, by
   `abort()`, which takes the death back first. `commit()` ends them.
7. Restoring. `restore(image)` builds all tasks, stopped, with the same process ids, and returns a
   `Restored`: `go()` lets them run, `close()` without it ends every one of them. An image is
   checked before anything is built. Files are opened with the owner's credentials, never with the
   mover's; only process ids, and credentials not above the image's owner, are set with root's
   rights. A restored task that was in a call restarts it in the kernel or gets the result it would
   have got.
8. Time. Each phase has a deadline (`migration.phases`); an engine never waits without one.
9. Missing abilities are found at run time and named (`EngineUnavailable`, or a `Reason`); nothing
   is silently left out of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

__all__ = [
    "Engine",
    "EngineUnavailable",
    "Frozen",
    "Reason",
    "Refused",
    "Restored",
    "engine",
    "engines",
    "register",
]


class EngineUnavailable(RuntimeError):
    """The engine does not work here; the message names the missing feature."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason to stay: process `pid`, where in it (`fd 3`, `7f..-7f..`, ``), and why."""

    pid: int
    where: str
    why: str
    passing: bool = False

    def __str__(self) -> str:
        place = f"process {self.pid}, {self.where}" if self.where else f"process {self.pid}"
        return f"{place}: {self.why}" + (" (may pass)" if self.passing else "")


class Refused(Exception):
    """The job cannot move now; it runs as before. `reasons` is never empty."""

    def __init__(self, *reasons: Reason) -> None:
        self.reasons = reasons
        super().__init__("\n".join(str(reason) for reason in reasons))


class Frozen(Protocol):
    """A frozen job at the source; paragraphs 3 to 6."""

    def dump(self, folder: str) -> None:
        """Write the image into the folder, which must exist, be empty and be private."""

    def leave(self) -> None: ...
    def commit(self) -> None: ...
    def abort(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Abort, unless it has been committed."""


class Restored(Protocol):
    """A job built and stopped; paragraph 7."""

    @property
    def root(self) -> int:
        """The root process's id as the mover sees it."""

    def go(self) -> None: ...
    def close(self) -> None: ...


class Engine(Protocol):
    """What every engine offers. All methods are called by one thread, the mover's."""

    name: str

    def check(self) -> None:
        """EngineUnavailable, naming what is missing here."""

    def probe(self, root: int) -> list[Reason]: ...
    def freeze(self, root: int, deadline: float) -> Frozen: ...
    def restore(self, folder: str) -> Restored: ...


_engines: dict[str, Callable[[], Engine]] = {}


def register(name: str, make: Callable[[], Engine]) -> None:
    """Make an engine known; a second one of the same name is an error."""
    if name in _engines:
        raise ValueError(f"a migration engine named {name} is registered already")
    _engines[name] = make


def engines() -> Mapping[str, Callable[[], Engine]]:
    """Every registered engine, by name."""
    return dict(_engines)


def engine(name: str) -> Engine:
    """The named engine, checked to work here; EngineUnavailable otherwise, never another one."""
    if name not in _engines:
        known = ", ".join(sorted(_engines)) or "none"
        raise EngineUnavailable(f"no migration engine {name!r}; there is: {known}")
    made = _engines[name]()
    made.check()
    return made
