"""What a job is, as it travels: its specification, its terminal, its state, its end."""

from signal import SIGTERM
from typing import Annotated

from msgspec import Meta

from glunix.ids import DEGREE_MAX, NPID_MAX
from glunix.msg.base import Record

U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
U63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
I64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
ErrnoField = Annotated[int, Meta(ge=0, le=4095)]
VersionField = Annotated[int, Meta(ge=0, le=65535)]
MomentField = Annotated[float, Meta(ge=0, le=1e11)]
"""Seconds since the epoch; 0: not yet."""
LoadField = Annotated[float, Meta(ge=0, le=1e9)]
NpidField = Annotated[int, Meta(ge=1, le=NPID_MAX)]
VnnField = Annotated[int, Meta(ge=0, lt=DEGREE_MAX)]
DegreeField = Annotated[int, Meta(ge=1, le=DEGREE_MAX)]
SignalField = Annotated[int, Meta(ge=0, le=64)]
RealSignal = Annotated[int, Meta(ge=1, le=64)]
CodeField = Annotated[int, Meta(ge=0, le=255)]
NameField = Annotated[str, Meta(min_length=1, max_length=64)]
TextField = Annotated[str, Meta(max_length=4096)]
LimitField = Annotated[int, Meta(ge=-1, le=2**63 - 1)]


TERMIOS_SIZE = 36
"""Bytes of struct termios (asm-generic, x86-64)."""

PATH_MAX = 4096
WORDS_MAX = 1 << 20
"""Words of a command line, or variables of an environment; their bytes fit into one frame."""

ALSO_READ = "+"
"""At the end of a device's name in JobSpec.outputs: it is open for reading, too."""

LINE_SECRET = 32
"""Bytes that authenticate a job's own line: half is its supervisor's, half its startup's."""

STAGED_MAX = 256 * 1024 * 1024
"""Bytes of one staged file, and of all of a job."""


class Rlimit(Record, frozen=True):
    """One resource limit: setrlimit(2)'s resource number, soft, hard; -1 is RLIM_INFINITY."""

    resource: Annotated[int, Meta(ge=0, le=31)]
    soft: LimitField
    hard: LimitField


class WinSize(Record, frozen=True):
    """Terminal size in characters and pixels (ioctl_tty(2), struct winsize)."""

    rows: Annotated[int, Meta(ge=0, le=65535)] = 0
    cols: Annotated[int, Meta(ge=0, le=65535)] = 0
    xpixel: Annotated[int, Meta(ge=0, le=65535)] = 0
    ypixel: Annotated[int, Meta(ge=0, le=65535)] = 0


class TtySpec(Record, frozen=True):
    """Which of fds 0-2 are the home terminal, with its modes (bytes of struct termios) and size."""

    fds: Annotated[list[Annotated[int, Meta(ge=0, le=2)]], Meta(max_length=3)]
    termios: Annotated[bytes, Meta(min_length=TERMIOS_SIZE, max_length=TERMIOS_SIZE)]
    size: WinSize
    number: Annotated[int, Meta(ge=-1, le=2**20)] = -1
    """Transparent: N of home's /dev/pts/N; -1 for another terminal."""
    mode: Annotated[int, Meta(ge=0, le=0o777)] = 0o600
    gid: Annotated[int, Meta(ge=-1, le=2**32 - 1)] = -1
    """Transparent: who else may write to it (mesg(1))."""
    controls: bool = True
    """It is the controlling terminal of the job's session."""


PidField = Annotated[int, Meta(ge=0, le=2**22)]
LivePid = Annotated[int, Meta(ge=1, le=2**22)]


class HomePids(Record, frozen=True):
    """The numbers of a transparent job's startup at home; 0: outside of its PID namespace."""

    pid: PidField
    parent: PidField
    group: PidField
    session: PidField
    parent_group: PidField
    highest: PidField = 0
    """Home's pid_max (proc(5)); 0: not known."""


class Inherited(Record, frozen=True):
    """A descriptor above 2 that a transparent program inherits from home."""

    number: Annotated[int, Meta(ge=3, le=1 << 20)]
    """The program's."""
    channel: Annotated[int, Meta(ge=16, le=79)]
    """By which home is asked for it, and its output is known."""
    kind: Annotated[str, Meta(max_length=16)]
    """file or pipe (read), file-out (a file that is written), out (what else is), tty (the job's
    terminal), a memory device's name, or as: the same as descriptor `size`. Asked for at home, call
    by call: file-both (open for reading and writing), dir, other (another terminal or pipe), and
    sockets: stream, dgram, packet."""
    size: U63
    """Bytes of a file; the flags (F_GETFL) of what is asked for at home."""
    path: Annotated[bytes, Meta(max_length=4096)] = b""
    """Home's name of what is asked for there."""


AT_HOME = {
    "file-both": "file", "dir": "dir", "other": "tty",
    "stream": "stream", "dgram": "dgram", "packet": "packet",
}  # fmt: skip
"""Kinds of Inherited that are asked for at home, and what stands in for each."""


class Standard(Inherited, frozen=True):
    """One of fds 0-2 that home has open in another way than `<`, `>` and `>>` open it: it goes the
    ways of what is inherited above 2."""

    number: Annotated[int, Meta(ge=0, le=2)]


class OpenState(Record, frozen=True):
    """What an open file of home says of itself (fcntl(2)): flags, owner, signal."""

    flags: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    """F_GETFL; O_PATH for a descriptor that is closed."""
    owner: Annotated[int, Meta(ge=-(2**22), le=2**22)] = 0
    """F_GETOWN: a pid, less than 0: a process group."""
    signal: SignalField = 0
    """F_GETSIG."""


class StagedFile(Record, frozen=True):
    """A file that goes along where there is no shared file system (glurun --stage)."""

    name: Annotated[bytes, Meta(min_length=1, max_length=4096)]
    """Relative to the job's directory on the node; no `..` in it."""
    mode: Annotated[int, Meta(ge=0, le=0o777)]
    data: bytes
    """Compressed (zlib)."""
    size: Annotated[int, Meta(ge=0, le=STAGED_MAX)]
    """Bytes of the file; what is decompressed may not be more."""


class Carried(Record, frozen=True):
    """What a process natively inherits besides limits; a node gives it as far as the user may."""

    processors: Annotated[bytes, Meta(max_length=1024)] = b""
    """Those that it may use (sched_setaffinity(2)), a bit each, the lowest first; empty: all."""
    policy: U32 = 0
    """sched_setscheduler(2), with SCHED_RESET_ON_FORK."""
    priority: Annotated[int, Meta(ge=0, le=99)] = 0
    personality: Annotated[int, Meta(ge=-1, le=2**32 - 1)] = -1
    """personality(2); -1: not known."""
    oom: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    """oom_score_adj (proc(5))."""
    slack: U63 = 0
    """Nanoseconds of timer slack (PR_SET_TIMERSLACK); 0: none, or not known."""
    io_priority: Annotated[int, Meta(ge=-1, le=0xFFFF)] = -1
    """ioprio_set(2); -1: not known."""
    domain: Annotated[str, Meta(max_length=64, pattern=r"\A[ -~]*\Z")] = ""
    """Transparent: home's NIS domain name (getdomainname(2))."""
    proc_flags: Annotated[int, Meta(ge=-1, le=2**31 - 1)] = -1
    """Transparent: how home's /proc is mounted (statvfs(3), f_flag); -1: not known."""


class JobSpec(Record, frozen=True):
    """What to run and in which surroundings (paper 4.2.1). Paths, argv and env are raw bytes."""

    argv: Annotated[list[bytes], Meta(min_length=1, max_length=WORDS_MAX)]
    env: Annotated[dict[bytes, bytes], Meta(max_length=WORDS_MAX)]
    cwd: Annotated[bytes, Meta(max_length=16 * PATH_MAX)]
    umask: Annotated[int, Meta(ge=0, le=0o777)]
    nice: Annotated[int, Meta(ge=-20, le=19)]
    rlimits: Annotated[list[Rlimit], Meta(max_length=32)]
    tty: TtySpec | None
    ignored: Annotated[list[SignalField], Meta(max_length=64)] = []
    keep: bool = False
    """Leave what the program left behind when it exits (glurun --keep)."""
    transparent: bool = False
    engine: Annotated[str, Meta(max_length=32)] = ""
    home_host: Annotated[str, Meta(max_length=64, pattern=r"\A[ -~]*\Z")] = ""
    """The host name that the startup finds (its UTS namespace may have one of its own); the daemon
    fills in its own for who says none."""
    stdin: Annotated[str, Meta(max_length=16)] = "pipe"
    """Transparent: what home's fd 0 is: tty, pipe, file, socket, a memory device's name
    (null, zero, ...), dir, other or closed. A socket is a stream socket; other ones are packets.
    User-level: pipe, or dir for a directory, which nobody can read."""
    stdin_size: U63 = 0
    """Transparent: st_size of a file on fd 0."""
    one_output: bool = False
    """Transparent: fds 1 and 2 are the same open file at home, so their order is kept."""
    window: Annotated[int, Meta(ge=4096, le=16 * 1024 * 1024)] = 1024 * 1024
    """Bytes that may be under way per output channel before home gives credit."""
    closed: Annotated[list[Annotated[int, Meta(ge=0, le=2)]], Meta(max_length=3)] = []
    """Which of fds 0-2 are closed at home."""
    stats: bool = False
    """Transparent: count what forwarded calls cost, and tell home at the end (stream.Bill)."""
    home_paths: Annotated[
        list[Annotated[bytes, Meta(max_length=PATH_MAX)]], Meta(max_length=256)
    ] = []
    """Transparent: absolute paths that are opened at home, each with all below it."""
    pids: HomePids | None = None
    """Transparent: what the program is to find as its own numbers."""
    sockets: Annotated[list[Annotated[int, Meta(ge=0, le=2)]], Meta(max_length=3)] = []
    """Transparent: which of fds 0-2 are one stream socket at home; empty unless fd 0 is."""
    staged: Annotated[list[StagedFile], Meta(max_length=1024)] = []
    """Files for a directory of the job's own on the node, which becomes its working directory."""
    line: Annotated[bytes, Meta(max_length=64)] = b""
    """What older startups say: a line without a secret. Nobody connects there."""
    inherited: Annotated[list[Inherited], Meta(max_length=64)] = []
    """Transparent: descriptors above 2."""
    outputs: Annotated[list[Annotated[str, Meta(max_length=16)]], Meta(max_length=2)] = []
    """What home's fds 1 and 2 are: `dir` for a directory, which nobody can write; transparent, too:
    `file`, `socket` (of bytes), the name of a memory device; or empty for anything else."""
    checked_writes: bool = False
    """Transparent: what is written to files is looked at before: there is little room for it, or
    one file is open twice, which makes the order of writes matter."""
    own_line: Annotated[bytes, Meta(max_length=LINE_SECRET + 64)] = b""
    """Transparent: LINE_SECRET bytes that this job's supervisor and startup say to each other
    first, half each (stream.LineHello), and the name of an abstract socket (unix(7)) where the
    startup listens for the supervisor, which then sends and hears this stream's frames there. It
    goes nowhere but to that supervisor. Empty: frames go through the daemons."""
    standard: Annotated[list[Standard], Meta(max_length=3)] = []
    """Transparent: those of fds 0-2 that `stdin` and `outputs` do not describe."""
    opened: Annotated[list[OpenState], Meta(max_length=3)] = []
    """Transparent: fds 0-2 as home's kernel shows them; empty: an older startup does not say."""
    removed: bool = False
    """Home's working directory was removed; `cwd` says nothing then."""
    directory: Annotated[bytes, Meta(max_length=LINE_SECRET + 64)] = b""
    """Of a working directory that `cwd` does not lead to, even at home: as `own_line`, where the
    startup hands it over (glunix.home.directory), to all of the secret. Empty: it leads there."""
    stays: bool = False
    """It is not to be moved to another node (glurun --no-migrate)."""
    flushes: bool = False
    """The startup understands stream.Flushed."""
    carried: Carried | None = None
    """None: an older startup, or glunix.api: the program has the node's own."""

    def soft_limit(self, number: int) -> int | None:
        """Of getrlimit(2); None: there is none."""
        found = (one.soft for one in self.rlimits if one.resource == number)
        return next((soft for soft in found if soft >= 0), None)


WINDOW_MIN = 64 * 1024
WINDOWS_MAX = 64 * 1024 * 1024


def fair_window(degree: int, wanted: int) -> int:
    """Bytes of `wanted` that each output channel of a `degree`-way job may have under way.

    All channels together are what the daemons hold for a reader who has stopped.
    """
    return min(wanted, max(WINDOW_MIN, WINDOWS_MAX // degree))


CAPS_ALL = 2**63 - 1
"""Every capability that there is or will be, as a mask."""


class Owner(Record, frozen=True):
    """Who runs a job: from SO_PEERCRED and SO_PEERGROUPS (unix(7)), never from a client's words."""

    uid: U32
    gid: U32
    groups: Annotated[list[U32], Meta(max_length=65536)]
    no_new_privs: bool = False
    """No exec gives its processes rights (PR_SET_NO_NEW_PRIVS), as for the submitting process."""
    bounding: Annotated[int, Meta(ge=0, le=CAPS_ALL)] = CAPS_ALL
    """The bounding set of the submitting process: what no exec can give is not in it. What home's
    kernel does not know is in it."""


class PlacedProc(Record, frozen=True):
    """One process of a job and the node it was given to."""

    vnn: VnnField
    node: NameField


class ProcRow(Record, frozen=True):
    """One process as Pdb knows it (glups)."""

    vnn: VnnField
    node: NameField
    pid: PidField
    state: NameField
    code: CodeField = 0
    signal: SignalField = 0


class JobRow(Record, frozen=True):
    """One job as Pdb knows it (glups). Times are seconds since the epoch."""

    npid: NpidField
    uid: U32
    home: NameField
    command: TextField
    degree: DegreeField
    transparent: bool
    state: NameField
    started: MomentField
    ended: MomentField
    reason: TextField
    procs: Annotated[list[ProcRow], Meta(max_length=DEGREE_MAX)]
    name: Annotated[str, Meta(max_length=64)] = ""
    """Of a batch job (glubatch -J)."""
    place: U32 = 0
    """In the queue, from 1; 0: it is not in the queue, or its place was not asked for."""


LOST_STATUS = 255
"""Exit status of a job of which nobody knows how it ended."""


def exit_status(code: int, signal: int) -> int:
    """How one process ended, as a shell tells it: its code, or 128 + the signal that ended it."""
    return 128 + signal if signal else code


def status_of(row: JobRow, not_begun: int = LOST_STATUS) -> int:
    """Exit status of a job that is over: the highest of its processes, LOST_STATUS when nobody
    can tell; `not_begun` when it was killed before its processes ran, as by SIGTERM when it was
    removed from the queue.
    """
    status = max((exit_status(proc.code, proc.signal) for proc in row.procs), default=0)
    if row.state == "exited" or status:
        return status
    if row.state != "killed":
        return LOST_STATUS
    return not_begun if row.procs else exit_status(0, SIGTERM)


class NodeRow(Record, frozen=True):
    """One node as Ndb knows it (glustat). Memory in bytes, load in runnable processes."""

    name: NameField
    state: NameField
    accepts_jobs: bool
    cpus: Annotated[int, Meta(ge=0, le=65536)]
    load: LoadField
    memory_total: U63
    memory_free: U63
    procs: U32
    since: MomentField
    seen: MomentField
    isolated: Annotated[list[NameField], Meta(max_length=16)]


class RunningProc(Record, frozen=True):
    """A process that a daemon reports when it (re)connects to a master."""

    npid: NpidField
    vnn: VnnField
    pid: LivePid
    uid: U32
    home: NameField
    command: TextField
    degree: DegreeField
    transparent: bool
    started: MomentField
    stopped: bool = False
