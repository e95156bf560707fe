"""`trace`: shows calls as strace does, one line each, or a table with `summary`.

    -i trace                        every call, to standard error
    -i trace:openat,read            these calls
    -i trace:summary                calls, errors and time per call when all is over
    -i trace:out=FILE,openat        to a file

Never answers or changes a call. Limits: results of the kernel are shown only on engines with EXIT
(the ptrace ones); elsewhere a line ends without `=`, unless an interposer below answered. Strings
are cut after 64 bytes, structures are shown as addresses. Times include the supervisor's own.
"""

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Self

from slic.interposer import EVERY, Call, Event, Handler, Interposer, Kind, ProcessEvent, after, on
from slic.interposer import on_event as on_process
from slic.interposers.images import is_our_fork
from slic.syscalls import BY_NAME, Argument, Syscall
from slic.syscalls import Kind as Width
from slic.tracee import AT_FDCWD, BadAddress, Tracee
from slic.verdict import PASS, Capability, Verdict

SHOWN = 64
NEVER_RETURN = {"exit", "exit_group", "rt_sigreturn"}
TEXT_ARGUMENTS = {"filename", "pathname", "path", "oldname", "newname", "old", "new", "name"}
OPEN_FLAGS = {
    "O_APPEND": os.O_APPEND,
    "O_CLOEXEC": os.O_CLOEXEC,
    "O_CREAT": os.O_CREAT,
    "O_DIRECTORY": os.O_DIRECTORY,
    "O_EXCL": os.O_EXCL,
    "O_NOFOLLOW": os.O_NOFOLLOW,
    "O_NONBLOCK": os.O_NONBLOCK,
    "O_PATH": os.O_PATH,
    "O_TRUNC": os.O_TRUNC,
}
ACCESS = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")


@dataclass(slots=True)
class Count:
    """One line of the summary; time in nanoseconds."""

    calls: int = 0
    errors: int = 0
    time: int = 0


class Trace(Interposer):
    """See the module. `write` gets whole lines (or the table) as text."""

    confines = False

    def __init__(
        self,
        write: Callable[[str], object],
        calls: Iterable[str] = (),
        summary: bool = False,
    ) -> None:
        self._write = write
        self._calls = tuple(calls) or (EVERY,)
        self._summary = summary
        self._results = False
        self._open: dict[int, tuple[str, int]] = {}  # tid: the line so far, when it began
        self.counts: dict[str, Count] = {}
        self._launched: int | None = None  # the process that still has to execute the program

    def _is_launch(self, tracee: Tracee, call: Call) -> bool:
        """Is it a call of the supervisor's own, between the engine's start and the program's?"""
        if self._launched is None:
            self._launched = tracee.pid
        if self._launched and tracee.pid == self._launched:
            if is_our_fork(tracee.pid):
                return call.name not in ("execve", "execveat")
            self._launched = 0
        return False

    @on(EVERY, needs=Capability.INSPECT)
    def called(self, tracee: Tracee, call: Call) -> Verdict:
        if self._launched != 0 and self._is_launch(tracee, call):
            return PASS
        count = self.counts.setdefault(call.name, Count())
        count.calls += 1
        line = "" if self._summary else f"[{tracee.tid}] {described(tracee, call)}"
        if self._results and call.name not in NEVER_RETURN:
            self._open[tracee.tid] = (line, tracee.now())
        elif line:
            self._write(line + (" = ?\n" if self._results else "\n"))
        return PASS

    @after(EVERY, optional=True)
    def returned(self, tracee: Tracee, call: Call, result: int) -> None:
        if self._launched != 0 and self._is_launch(tracee, call):
            return
        line, began = self._open.pop(tracee.tid, ("", 0))
        count = self.counts.setdefault(call.name, Count())
        count.errors += -4096 < result < 0
        count.time += tracee.now() - began if began else 0
        if not self._summary:
            line = line or f"[{tracee.tid}] <... {call.name} answered>"
            self._write(f"{line} = {shown_result(result, call.syscall)}\n")

    @on_process(ProcessEvent.EXIT, optional=True)
    def ended(self, event: Event) -> None:
        line, _ = self._open.pop(event.tid, ("", 0))
        if line:
            self._write(f"{line} = ?\n")
        if not self._summary:
            self._write(f"[{event.tid}] +++ {shown_status(event.value)} +++\n")

    def declarations(self) -> Iterable[Handler]:
        for handler in type(self).handlers:
            chosen = handler.kind in (Kind.CALL, Kind.RESULT)
            yield replace(handler, calls=self._calls) if chosen else handler

    def started(self, capabilities: Capability) -> None:
        self._results = Capability.EXIT in capabilities

    def finished(self) -> None:
        if self._summary:
            self._write(self.table())

    def table(self) -> str:
        """The summary, the most expensive calls first."""
        lines = [f"{'call':20} {'calls':>9} {'errors':>7} {'us/call':>9} {'total ms':>9}"]
        for name, c in sorted(self.counts.items(), key=lambda n: (-n[1].time, -n[1].calls)):
            each, total = f"{c.time / c.calls / 1e3:9.1f}", f"{c.time / 1e6:9.2f}"
            times = f"{each} {total}" if c.time else f"{'-':>9} {'-':>9}"
            lines.append(f"{name:20} {c.calls:9} {c.errors or '':>7} {times}")
        return "\n".join(lines) + "\n"

    @classmethod
    def from_argument(cls, text: str) -> Self:
        words = [word for word in text.split(",") if word]
        out = [word.removeprefix("out=") for word in words if word.startswith("out=")]
        calls = [w for w in words if w != "summary" and not w.startswith("out=")]
        if unknown := [name for name in calls if name not in BY_NAME]:
            raise ValueError(f"there is no call {', '.join(unknown)}")
        if out:
            # Unbuffered: what has been traced stands there even if the supervisor is killed.
            file = os.open(out[-1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
            return cls(_Output(file, out[-1]), calls, "summary" in words)
        return cls(_Output(2, "standard error"), calls, "summary" in words)


class _Output:
    """Writes lines, unbuffered. When one cannot be written, says so once and writes no more.

    The program traced must not suffer from a full disk or a reader that has left (`| head`).
    """

    def __init__(self, file: int, name: str) -> None:
        self._file = file
        self._name = name

    def __call__(self, line: str) -> None:
        if self._file < 0:
            return
        try:
            os.write(self._file, line.encode(errors="surrogateescape"))
        except OSError as error:
            self._file = -1
            try:
                message = f"slic: trace: {self._name}: {error.strerror}: no more is shown\n"
                os.write(2, message.encode())
            except OSError:
                return


def described(tracee: Tracee, call: Call) -> str:
    """`name(arguments)` with strings read from the caller."""
    named = call.named()
    shown = [_argument(tracee, call.syscall, a, named) for a in call.syscall.arguments]
    return f"{call.name}({', '.join(text for text in shown if text)})"


def _argument(tracee: Tracee, syscall: Syscall, argument: Argument, named: dict[str, int]) -> str:
    value = named[argument.name]
    if argument.kind is Width.ADDRESS:
        return _pointer(tracee, syscall, argument, named) if value else "NULL"
    if argument.name in ("dirfd", "dfd", "olddfd", "newdfd") and value == AT_FDCWD:
        return "AT_FDCWD"
    if argument.name == "mode" and not named.get("flags", os.O_CREAT) & os.O_CREAT:
        return ""  # open reads no mode then: what stands there is left over
    if argument.name == "flags" and syscall.name in ("open", "openat"):
        names = [name for name, bit in OPEN_FLAGS.items() if value & bit == bit]
        return "|".join([ACCESS[value & os.O_ACCMODE], *names])
    if argument.kind is Width.UINT16:
        return f"{value:#o}"
    return str(value) if -4096 <= value < 1 << 20 else f"{value & (1 << 64) - 1:#x}"


def _pointer(tracee: Tracee, syscall: Syscall, argument: Argument, named: dict[str, int]) -> str:
    address = named[argument.name]
    try:
        if argument.ctype == "const char *" and argument.name in TEXT_ARGUMENTS:
            return _quoted(tracee.cstring(address))
        if argument.ctype == "const char *" and "count" in named:
            data = tracee.read_some(address, min(named["count"], SHOWN + 1))
            return _quoted(data)
    except (BadAddress, OSError):
        pass  # the kernel will find the same fault; the address tells as much
    return f"{address:#x}"


def _quoted(data: bytes) -> str:
    text = repr(data[:SHOWN])[2:-1].replace('"', '\\"')
    return f'"{text}"' + ("..." if len(data) > SHOWN else "")


def shown_result(result: int, syscall: Syscall) -> str:
    """A raw result: a number, an errno by name, or an address for the calls that give one."""
    if -4096 < result < 0:
        name = errno.errorcode.get(-result, str(-result))
        return f"-1 {name} ({os.strerror(-result)})"
    return hex(result) if syscall.name in ("brk", "mmap", "mremap", "shmat") else str(result)


def shown_status(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        return f"killed by signal {os.WTERMSIG(status)}"
    return f"exited with {os.WEXITSTATUS(status)}"
