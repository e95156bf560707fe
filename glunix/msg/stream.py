"""What flows on a job's stream between its home half and its node half (paper 4.3).

One stream per (job, node); all its processes there share it, told apart by VNN. The home daemon
writes the first frame (Start, with the owner it learned from the kernel); after that it relays
undecoded. Start is in a union of its own, so that a startup cannot forge one later.

Flow: `Out` and `In` carry at most CHUNK bytes and only within credit. Each output channel
(vnn, fd) starts with `spec.window` bytes of credit; home gives more with `Credit` as its
descriptor takes them. Input of user-level jobs starts with INPUT_WINDOW bytes per stream; the node
gives more as *all* processes on it took them. Of a transparent job's terminal or file home
sends exactly what a `Want` asked for. The bytes of a pipe or stream socket go ahead in `In`, at
most INPUT_WINDOW, and leave home as `InCredit` says that the program has read them; `InClosed`:
nobody can. When the program stops or ends, or home asks (`InRecall`), `InBack` voids what was not
read; the next `In` that counts comes after an `InAnew` with the same number.
"""

from typing import Annotated

from msgspec import Meta

from glunix.ids import DEGREE_MAX
from glunix.msg.base import Body, Decoder, Message, Record, all_or_nothing, encode
from glunix.msg.frame import CHUNK
from glunix.msg.homecalls import (
    U64,
    HomeCall,
    HomeClose,
    HomeDone,
    HomeFd,
    IoctlPages,
    PagesDone,
)
from glunix.msg.job import (
    I64,
    LINE_SECRET,
    U32,
    U63,
    CodeField,
    DegreeField,
    ErrnoField,
    JobSpec,
    LivePid,
    NameField,
    NpidField,
    Owner,
    RealSignal,
    SignalField,
    TextField,
    VnnField,
    WinSize,
)
from glunix.msg.parallel import Places
from glunix.msg.shadows import (
    ShadowKill,
    ShadowMove,
    ShadowMoved,
    ShadowNamed,
    ShadowsEnded,
    ShadowSignal,
    ShadowsMade,
    ShadowStopped,
    ShadowsWanted,
)

INPUT_WINDOW = 1024 * 1024
Data = Annotated[bytes, Meta(max_length=CHUNK)]
OutFd = Annotated[int, Meta(ge=0, le=1023)]
"""0: the terminal of a transparent job whose fds 1 and 2 are both elsewhere. ANSWERS: what it
writes into a stream socket that is its fd 0 and neither 1 nor 2. From 16 on: what it inherited
besides (glunix.msg.job.Inherited); from 80 on: files of home that it has opened once more."""
ANSWERS = 3
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Start(Message, frozen=True, tag="start"):
    """Home daemon to node daemon, first on a stream: run these VNNs of this job."""

    npid: NpidField
    degree: DegreeField
    vnns: Annotated[list[VnnField], Meta(min_length=1, max_length=DEGREE_MAX)]
    home: NameField
    owner: Owner
    spec: JobSpec
    places: Places = []
    """All nodes of a job of several processes, for its barriers; else, and of older homes: none."""
    mark: Annotated[str, Meta(max_length=64)] = ""
    """Of such a job: a word that no other job on any of these machines has."""


class Restore(Message, frozen=True, tag="restore"):
    """Home daemon to node daemon, first on a stream: this job runs elsewhere, and is to move here.
    `start` is what it was started with; `epoch`: glunix.msg.move."""

    start: Start
    epoch: Annotated[int, Meta(ge=1, le=2**31 - 1)]


opening = Decoder(Start | Restore, "stream opening")


class In(Message, frozen=True, tag="in"):
    """Bytes for standard input of every process on this stream; empty means end of input."""

    data: Data


class Credit(Message, frozen=True, tag="credit"):
    """Home to node: the output channel may carry `count` bytes more."""

    vnn: VnnField
    fd: OutFd
    count: Count


class Refuse(Message, frozen=True, tag="refuse"):
    """Home to node: the output channel is closed at home (EPIPE); the writer gets SIGPIPE."""

    vnn: VnnField
    fd: OutFd


class Unwritten(Message, frozen=True, tag="unwritten"):
    """Home to node: what came on this channel could not be written (a full disk). The next write
    has to be made at home, which tells why. Only of careful jobs; of others it is a Refuse."""

    fd: OutFd


class Signal(Message, frozen=True, tag="signal"):
    """Deliver a signal: to one process's group, or (vnn None) to all on this stream.

    To a transparent job a signal with a VNN is for the program only: its shadow at home got it.
    """

    signal: SignalField
    vnn: VnnField | None = None
    flush: bool = False
    """Transparent, with signal 0: a key threw away what the terminal had not shown. What was
    written before the signal that the key sends, which follows, goes the same way: `Flushed`."""


class Resize(Message, frozen=True, tag="resize"):
    """The home terminal has another size: the node's gets it, with SIGWINCH from its kernel."""

    size: WinSize


class Got(Message, frozen=True, tag="got"):
    """Answer to Want: bytes read at home (empty without error: end of file), or an errno."""

    ask: U32
    error: ErrnoField
    data: Data
    wait: Annotated[int, Meta(ge=0, le=255)] = 0
    """With EAGAIN: tenths of a second after which the read takes what is there (VTIME)."""


class IoctlDone(Message, frozen=True, tag="ioctled"):
    """Answer to Ioctl: its return value or an errno, and the memory it wrote."""

    ask: U32
    value: I64
    error: ErrnoField
    data: Data


class Ready(Message, frozen=True, tag="ready"):
    """Home to node: whether a read of this home descriptor would find something (poll(2))."""

    fd: HomeFd
    readable: bool
    hung_up: bool = False
    """The home terminal is gone (tty_ioctl(4)): the stand-in is hung up, too."""


TERMIOS2_SIZE, WINSIZE_SIZE = 44, 8
"""Bytes of struct termios2 and struct winsize (ioctl_tty(2), x86-64)."""
MODES_SIZE = TERMIOS2_SIZE + WINSIZE_SIZE


class Modes(Message, frozen=True, tag="modes"):
    """Home to node, to one that asked with `watch`: the terminal's struct termios2 and struct
    winsize, before anything else that is sent after they changed; empty: ask."""

    fd: HomeFd
    data: Annotated[bytes, Meta(max_length=MODES_SIZE)]

    def __post_init__(self) -> None:
        all_or_nothing(self.data, MODES_SIZE, "$[2]")


class Flow(Message, frozen=True, tag="flow"):
    """Home to node: whether the terminal is stopped and takes no output (tcflow(3))."""

    stopped: bool


class InRecall(Message, frozen=True, tag="inrecall"):
    """Home to node: somebody else has read from what went ahead; answered by InBack."""


class InAnew(Message, frozen=True, tag="inanew"):
    """Home to node: InBack `number` was heard; what follows is at the head of the input now."""

    number: U32


LineHalf = Annotated[bytes, Meta(min_length=LINE_SECRET // 2, max_length=LINE_SECRET // 2)]


class LineAnswer(Message, frozen=True, tag="lined"):
    """Home to node, first on a job's own line: the second half of JobSpec.own_line's secret."""

    secret: LineHalf


HomeToNode = (
    In
    | Credit
    | Refuse
    | Unwritten
    | Signal
    | Resize
    | Got
    | IoctlDone
    | PagesDone
    | HomeDone
    | Ready
    | Modes
    | Flow
    | InRecall
    | InAnew
    | ShadowsMade
    | ShadowSignal
    | ShadowMoved
    | LineAnswer
)


class Started(Message, frozen=True, tag="started"):
    """The program runs (exec succeeded) as this pid of the node."""

    vnn: VnnField
    pid: LivePid
    flushes: bool = False
    """Transparent: `Signal.flush` is understood."""


class Failed(Message, frozen=True, tag="failed"):
    """The program could not be started: which step, errno, and a line for the user."""

    vnn: VnnField
    step: NameField
    error: ErrnoField
    text: TextField


class Out(Message, frozen=True, tag="out"):
    """Bytes that a process wrote on fd 1 or 2; empty means that channel has ended."""

    vnn: VnnField
    fd: OutFd
    data: Data


class Flushed(Message, frozen=True, tag="flushed"):
    """Node to home, which has said that it knows it (JobSpec.flushes): what came on this channel of
    a terminal and is not shown yet was thrown away, by a key or tcflush(3)."""

    vnn: VnnField
    fd: OutFd


class InCredit(Message, frozen=True, tag="incredit"):
    """Node to home: standard input of this stream may carry `count` bytes more."""

    count: Count


class InClosed(Message, frozen=True, tag="inclosed"):
    """Node to home: nobody on this stream reads standard input any more."""


class InBack(Message, frozen=True, tag="inback"):
    """Node to home: of what went ahead, all that InCredit did not tell of is void."""

    number: U32


class Stopped(Message, frozen=True, tag="stopped"):
    """The process was stopped by this signal (waitpid(2), WIFSTOPPED)."""

    vnn: VnnField
    signal: RealSignal


class Continued(Message, frozen=True, tag="continued"):
    """The process goes on."""

    vnn: VnnField


class Exited(Message, frozen=True, tag="exited"):
    """The process ended: exit code, or the signal that killed it (code is then 0)."""

    vnn: VnnField
    code: CodeField
    signal: SignalField
    core: bool = False
    orphaned: bool = False
    """Transparent: its supervisor died and it with it, so it left no modes of its own choice."""
    aborts: bool = False
    """An MPI rank that ended the job, or was ended with it: the first such status is the job's."""


class RootExited(Message, frozen=True, tag="rootexited"):
    """Transparent: the program has ended so, and processes that it left behind live on. All that
    was written until then was sent before this. `Exited` comes when the last of them is gone."""

    vnn: VnnField
    code: CodeField
    signal: SignalField
    core: bool = False


class Want(Message, frozen=True, tag="want"):
    """Transparent: a process asks for at most `count` bytes of this home descriptor, now."""

    ask: U32
    fd: HomeFd
    count: Count
    nonblock: bool = False
    offset: I64 = -1
    """Where to read (pread); -1 is the descriptor's own offset."""


class Unwant(Message, frozen=True, tag="unwant"):
    """Transparent: the call that asked (IoctlPages) was interrupted: end it, no answer."""

    ask: U32


class Ioctl(Message, frozen=True, tag="ioctl"):
    """Transparent: do this ioctl on this home descriptor; `data` is the memory it reads."""

    ask: U32
    fd: HomeFd
    command: U32
    argument: U64
    data: Data
    may_write: bool = False
    """The caller blocks or ignores SIGTTOU: it may do this from the background, too."""
    watch: bool = False
    """Say Modes before the answer, and from then on when they change."""


class Seek(Message, frozen=True, tag="seek"):
    """Transparent: lseek(2) on this home descriptor; answered by IoctlDone."""

    ask: U32
    fd: HomeFd
    offset: I64
    whence: Annotated[int, Meta(ge=0, le=4)]


class Back(Message, frozen=True, tag="back"):
    """Transparent: bytes that were fetched for a call that then was interrupted, and that
    nobody asked for again. They go back to the home terminal's input where that can be done."""

    fd: HomeFd
    data: Data


BILL_LINES = 64


class BillLine(Record, frozen=True):
    """One kind of forwarded call: how often, microseconds until its answers, bytes they brought."""

    name: NameField
    count: U63
    micros: U63
    size: U63


class Bill(Message, frozen=True, tag="bill"):
    """Transparent, with spec.stats, before Exited: what forwarded calls cost, the dearest first."""

    lines: Annotated[list[BillLine], Meta(max_length=BILL_LINES)]


class LineHello(Message, frozen=True, tag="line"):
    """Node to home, first on a job's own line: the first half of JobSpec.own_line's secret."""

    secret: LineHalf


class LineLeft(Message, frozen=True, tag="lineleft"):
    """Node to home, last on a job's own line: the job moves to another node, and its frames go
    through the daemons from now on."""


class LineOver(Message, frozen=True, tag="lineover"):
    """Node to home, last on a job's own line: the daemon says how the job ended, and if the line
    ends now it was not lost."""


NodeToHome = (
    Started
    | Failed
    | Flushed
    | Out
    | InCredit
    | InClosed
    | InBack
    | Stopped
    | Continued
    | Exited
    | RootExited
    | Want
    | Unwant
    | Ioctl
    | IoctlPages
    | HomeCall
    | HomeClose
    | Seek
    | Back
    | Bill
    | ShadowsWanted
    | ShadowsEnded
    | ShadowNamed
    | ShadowKill
    | ShadowStopped
    | ShadowMove
    | LineHello
    | LineLeft
    | LineOver
)

home_to_node = Decoder(HomeToNode, "home to node")
node_to_home = Decoder(NodeToHome, "node to home")


def out_head(vnn: int, fd: int, size: int) -> bytes:
    """Return the encoding of an Out up to its `size` bytes of data, which then need no copy."""
    return encode(Out(vnn, fd, b""))[:-2] + b"\xc6" + size.to_bytes(4, "big")


_IN = encode(In(b""))[:-2]
_BIN = {0xC4: 1, 0xC5: 2, 0xC6: 4}


def in_data(body: Body) -> Body | None:
    """Return the data of an In without copying them; None: decode it (another message, or wrong).

    `home_to_node` says the same of every In, and copies.
    """
    at = len(_IN)
    if body[:at] != _IN or len(body) <= at or (width := _BIN.get(body[at])) is None:
        return None
    start = at + 1 + width
    size = int.from_bytes(body[at + 1 : start], "big")
    return body[start:] if size == len(body) - start and size <= CHUNK else None
