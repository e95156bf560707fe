"""A job as its home sees it: the specification it starts with, its processes, its end.

Owns `job_spec` (this process's surroundings as a JobSpec, paper 4.2.1) and the values `Client`
hands out. Does no communication.
"""

import os
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from glunix import config
from glunix.errors import GlunixError, Refused
from glunix.ids import Why
from glunix.msg.job import JobSpec, Rlimit, exit_status
from glunix.msg.stream import Signal

OutputHandler = Callable[["Job", int, int, bytes], None]
"""Called with (job, vnn, fd, data) as output arrives; credit goes back when it returns."""

_RLIMITS = 16
"""Linux's RLIM_NLIMITS (include/uapi/asm-generic/resource.h): 0 to RLIMIT_RTTIME."""


def my_npid() -> int | None:
    """NPID of the job this process belongs to, None outside jobs (Glib_GetMyNpid)."""
    return _number("GLUNIX_NPID")


def my_vnn() -> int | None:
    """VNN of this process in its job, None outside jobs (Glib_GetMyVnn)."""
    return _number("GLUNIX_VNN")


def my_degree() -> int | None:
    """Parallel degree of the job this process belongs to (Glib_GetMyParDegree)."""
    return _number("GLUNIX_DEGREE")


def _number(name: str) -> int | None:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else None


def job_spec(
    argv: Sequence[str | bytes | os.PathLike[str]],
    *,
    env: dict[str, str] | None = None,
    cwd: str | bytes | os.PathLike[str] | None = None,
    transparent: bool = False,
    keep: bool = False,
) -> JobSpec:
    """A specification with this process's surroundings (paper 4.2.1), for jobs without a terminal.

    `env` and `cwd` replace the caller's own; umask, nice and rlimits are always the caller's.
    """
    if not argv:
        raise Refused(Why.BAD_REQUEST, "a job needs a command")
    given = os.environb if env is None else {os.fsencode(k): os.fsencode(v) for k, v in env.items()}
    return JobSpec(
        argv=[os.fsencode(word) for word in argv],
        env=dict(given),
        cwd=os.getcwdb() if cwd is None else os.fsencode(cwd),
        umask=_umask(),
        nice=os.getpriority(os.PRIO_PROCESS, 0),
        rlimits=[Rlimit(number, *resource.getrlimit(number)) for number in range(_RLIMITS)],
        tty=None,
        transparent=transparent,
        keep=keep,
    )


def _umask() -> int:
    """The file mode mask, without the race of setting it to read it (proc(5), since Linux 4.7)."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022


@dataclass(slots=True)
class Proc:
    """One process of a job, as its home sees it. `code` and `signal` hold once `over` is set."""

    vnn: int
    node: str
    pid: int = 0
    code: int = 0
    signal: int = 0
    over: bool = False
    exited: bool = False
    open_fds: set[int] = field(default_factory=lambda: {1, 2})
    unpaid: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})
    output: dict[int, bytearray] = field(default_factory=lambda: {1: bytearray(), 2: bytearray()})
    failure: str = ""
    """Why it could not be started or followed, one line; empty when it ran."""

    @property
    def status(self) -> int:
        """Exit status as a shell tells it: the code, or 128 + signal."""
        return exit_status(self.code, self.signal)


@dataclass(slots=True, eq=False)
class Job:
    """A submitted job. `npid` is 0 until it is placed; `done` says that nothing more will come."""

    request: int
    spec: JobSpec
    degree: int
    npid: int = 0
    procs: dict[int, Proc] = field(default_factory=dict)
    streams: set[int] = field(default_factory=set)
    error: GlunixError | None = None
    done: bool = False
    handler: OutputHandler | None = None
    collect: bool = True
    stdin: bytes = b""
    taken: int = 0
    early_signals: list[Signal] = field(default_factory=list)

    @property
    def status(self) -> int:
        """Exit status of the whole job: the highest of its processes; GLUnix's own on failure."""
        if self.error is not None or not self.procs:
            return config.exit_error()
        return max(proc.status for proc in self.procs.values())

    def output(self, fd: int = 1, vnn: int = 0) -> bytes:
        """What one process wrote on fd 1 or 2 so far (empty unless collected)."""
        return bytes(self.procs[vnn].output[fd]) if vnn in self.procs else b""
