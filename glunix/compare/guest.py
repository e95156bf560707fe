"""What a conformance guest is: the header of its file, read into a frozen record.

Owns the header format and the discovery of guests; never builds or runs one.

A guest is one file in `guests/` that checks one behaviour of the system it runs on. Its first
comment block holds `key: value` lines, one a line, in any order:

    guest:     the behaviour, in one sentence                                     (required)
    area:      one of `Area`                                                      (required)
    source:    man page or POSIX section that promises it                         (required)
    calls:     system calls that it makes, x86-64 names, comma separated; repeats (required);
               `a|b`: one of them, as the C library chooses
    needs:     what it cannot do without, comma separated, names of `NEEDS`
    also:      `static`: also build it with gcc -static and run that
    stdin:     null (default) | tty | pipe TEXT | open-pipe | file TEXT | socket | pattern N
    stdout:    pipe (default; tty when a tty is needed) | tty | any (a pipe; how much arrives is
               not what is checked, so it is not compared)
    stderr:    pipe | tty, default as stdout
    status:    exit status (default 0), or the name of the signal that ends it
    on:        TRIGGER -> ACTION, in order; repeats (see `Step`)
    start:     words of bash that come before, in the process that then executes the program (its
               limits, descriptors, directory, environment); `"$@"` is the program
    broken-by: an `strace --inject` expression under which the guest must fail; repeats

TEXT is a C-like string in double quotes. A guest prints deterministic lines only, and `ok` last
when all it checked holds (unless a signal is its expected end); otherwise it prints
`expected ... got ...` and exits 1. A guest may not assume that it leads its process group or
session, or who its parent is: forking first gives it a process of which it knows both.
"""

from __future__ import annotations

import ast
import enum
import re
import signal
from dataclasses import dataclass
from functools import cache
from pathlib import Path

GUESTS = Path(__file__).resolve().parent / "guests"


class HeaderError(ValueError):
    """The header of a guest is not in the format of this module; names file and line."""


class Area(enum.Enum):
    """What part of the system a guest checks."""

    FILES = "files"
    STDIN = "stdin"
    PIPES = "pipes"
    TTY = "tty"
    SIGNALS = "signals"
    GROUPS = "groups"
    THREADS = "threads"
    EXEC = "exec"
    WAITING = "waiting"
    MEMORY = "memory"
    SOCKETS = "sockets"
    TIMERS = "timers"
    EINTR = "eintr"
    READINESS = "readiness"
    IDENTITY = "identity"


class StdinKind(enum.Enum):
    """What a guest finds as its standard input."""

    NULL = "null"
    TTY = "tty"
    PIPE = "pipe"
    OPEN_PIPE = "open-pipe"
    FILE = "file"
    SOCKET = "socket"
    PATTERN = "pattern"


class Do(enum.Enum):
    """What the runner does for a guest; the word after `->` in an `on:` line."""

    TYPE = "type"  # TEXT: to the scripted stdin, or the terminal when stdin is another
    EOF = "eof"  # close the writing end of stdin
    RESIZE = "resize"  # ROWSxCOLUMNS: of the terminal
    HANGUP = "hangup"  # close the terminal's master
    SIGNAL = "signal"  # NAME: to the process that was started
    GROUP = "group"  # NAME: to the process group that was started
    FG = "fg"  # continue in the foreground, as a shell's fg
    BG = "bg"  # continue in the background
    CLOSE_STDOUT = "close-stdout"  # close the reading end of stdout
    READ_STDOUT = "read-stdout"  # begin to read stdout (which is then held until here)


@dataclass(frozen=True)
class Step:
    """When `trigger` is seen, after the trigger of the step before, do `action` with `value`.

    `trigger` is a word w: a line `ready w` from the guest; or an event the home shell sees, as
    `stopped` or `continued`.
    """

    trigger: str
    action: Do
    value: bytes = b""
    number: int = 0
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Guest:
    """One guest as its header tells it. `status` is as subprocess's: -N for signal N.

    choices: one tuple for each call it makes, of the calls that may stand for it.
    """

    name: str
    path: Path
    behaviour: str
    area: Area
    source: str
    choices: tuple[tuple[str, ...], ...]
    needs: tuple[str, ...] = ()
    static: bool = False
    also_static: bool = False
    stdin: StdinKind = StdinKind.NULL
    input: bytes = b""
    stdout_tty: bool = False
    stdout_any: bool = False
    stderr_tty: bool = False
    status: int = 0
    steps: tuple[Step, ...] = ()
    broken_by: tuple[str, ...] = ()
    start: str = ""

    @property
    def calls(self) -> tuple[str, ...]:
        """Every call that it may make: what a pass-through policy subscribes to."""
        return tuple(dict.fromkeys(name for choice in self.choices for name in choice))

    @property
    def tty(self) -> bool:
        """Whether it must be run on a terminal."""
        return "tty" in self.needs

    @property
    def language(self) -> str:
        """`c`, `py` or `sh`."""
        return self.path.suffix[1:]


KEYS = {
    "guest", "area", "source", "calls", "needs", "also", "stdin", "stdout", "stderr", "status",
    "on", "broken-by", "start",
}  # fmt: skip
REPEATED = {"calls", "on", "broken-by"}
NEEDS = {"tty", "root", "bash", "gcc -static", "ia32", "loopback"}

_LINE = re.compile(r"^(?:/\*|\s\*|#)?\s*([a-z-]+):\s+(.*?)(?:\s*\*/)?$")


def text(quoted: str, where: str) -> bytes:
    """The bytes of a double-quoted string with C-like escapes."""
    if len(quoted) < 2 or quoted[0] != '"' or quoted[-1] != '"':
        raise HeaderError(f"{where}: a string in double quotes is wanted, not {quoted}")
    try:
        value = ast.literal_eval("b" + quoted)
    except (SyntaxError, ValueError) as error:
        raise HeaderError(f"{where}: {quoted}: {error}") from error
    assert isinstance(value, bytes)
    return value


def pattern(length: int) -> bytes:
    """`length` bytes that a guest can compute too: byte i is (i * 7 + i // 256) mod 251."""
    return bytes((i * 7 + (i >> 8)) % 251 for i in range(length))


def header_lines(source: str, where: str) -> list[tuple[str, str, str]]:
    """`(key, value, place)` of each line of the first comment block."""
    found = []
    lines = source.splitlines()
    start = 1 if lines and lines[0].startswith("#!") else 0
    for number, line in enumerate(lines[start:], start + 1):
        if not line.startswith(("/*", " *", "#")) or line.startswith("#include"):
            break
        place = f"{where}:{number}"
        match = _LINE.match(line)
        if match is None:
            if line.strip(" */#"):
                raise HeaderError(f"{place}: not a `key: value` line: {line}")
            break
        if match[1] not in KEYS:
            raise HeaderError(f"{place}: unknown key {match[1]!r}")
        found.append((match[1], match[2].strip(), place))
        if line.rstrip().endswith("*/"):
            break
    return found


def step(value: str, where: str) -> Step:
    """Parses `TRIGGER -> ACTION [ARGUMENT]`."""
    trigger, arrow, rest = value.partition(" -> ")
    word, _, argument = rest.partition(" ")
    if not arrow or not re.fullmatch(r"[A-Za-z0-9-]+", trigger):
        raise HeaderError(f"{where}: `TRIGGER -> ACTION` is wanted, not {value!r}")
    try:
        action = Do(word)
    except ValueError:
        raise HeaderError(f"{where}: unknown action {word!r}") from None
    if action is Do.TYPE:
        return Step(trigger, action, value=text(argument, where))
    if action in (Do.SIGNAL, Do.GROUP):
        return Step(trigger, action, number=signal_number(argument, where))
    if action is Do.RESIZE:
        size = re.fullmatch(r"(\d+)x(\d+)", argument)
        if size is None:
            raise HeaderError(f"{where}: ROWSxCOLUMNS is wanted, not {argument!r}")
        return Step(trigger, action, size=(int(size[1]), int(size[2])))
    if argument:
        raise HeaderError(f"{where}: {word} takes no argument")
    return Step(trigger, action)


def signal_number(name: str, where: str) -> int:
    """The number of `TERM` or `SIGTERM`."""
    try:
        return int(signal.Signals["SIG" + name.removeprefix("SIG")])
    except KeyError:
        raise HeaderError(f"{where}: no signal is called {name!r}") from None


def _stdin(value: str, where: str) -> tuple[StdinKind, bytes]:
    word, _, rest = value.partition(" ")
    try:
        kind = StdinKind(word)
    except ValueError:
        raise HeaderError(f"{where}: unknown stdin {word!r}") from None
    if kind in (StdinKind.PIPE, StdinKind.FILE):
        return kind, text(rest, where)
    if kind is StdinKind.PATTERN:
        return kind, pattern(int(rest))
    if rest:
        raise HeaderError(f"{where}: stdin {word} takes no text")
    return kind, b""


def _words(values: list[str]) -> tuple[str, ...]:
    return tuple(word for value in values for word in re.split(r",\s*", value) if word)


def parse(path: Path, source: str) -> Guest:
    """The guest that `source`, the text of `path`, declares; `HeaderError` names what is wrong."""
    where = path.name
    fields: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    for key, value, place in header_lines(source, where):
        if key in fields and key not in REPEATED:
            raise HeaderError(f"{place}: {key} is given twice")
        fields.setdefault(key, []).append(value)
        places[key] = place
    for key in ("guest", "area", "source", "calls"):
        if not fields.get(key) or not all(fields[key]):
            raise HeaderError(f"{where}: {key} is missing")

    def one(key: str, default: str) -> str:
        return fields.get(key, [default])[0]

    try:
        area = Area(one("area", ""))
    except ValueError:
        raise HeaderError(f"{places['area']}: unknown area {one('area', '')!r}") from None
    needs = _words(fields.get("needs", []))
    if set(needs) - NEEDS:
        raise HeaderError(f"{places['needs']}: unknown need {sorted(set(needs) - NEEDS)}")
    kind, given = _stdin(one("stdin", "tty" if "tty" in needs else "null"), where)
    stdout = one("stdout", "tty" if "tty" in needs else "pipe")
    stderr = one("stderr", "tty" if stdout == "tty" else "pipe")
    if stdout not in ("tty", "pipe", "any") or stderr not in ("tty", "pipe"):
        raise HeaderError(f"{where}: unknown stdout {stdout!r} or stderr {stderr!r}")
    if "tty" in (kind.value, stdout, stderr) and "tty" not in needs:
        raise HeaderError(f"{where}: a terminal is used, but `needs: tty` is missing")
    status = one("status", "0")
    return Guest(
        name=path.stem,
        path=path,
        behaviour=one("guest", ""),
        area=area,
        source=one("source", ""),
        choices=tuple(tuple(word.split("|")) for word in _words(fields["calls"])),
        needs=needs,
        also_static=one("also", "") == "static",
        stdin=kind,
        input=given,
        stdout_tty=stdout == "tty",
        stdout_any=stdout == "any",
        stderr_tty=stderr == "tty",
        status=int(status) if status.isdigit() else -signal_number(status, where),
        steps=tuple(step(value, where) for value in fields.get("on", [])),
        broken_by=tuple(fields.get("broken-by", [])),
        start=one("start", ""),
    )


@cache
def discover(folder: Path = GUESTS) -> tuple[Guest, ...]:
    """Every guest of `folder`, by name; `HeaderError` when one of them is not valid."""
    paths = sorted(p for p in folder.iterdir() if p.suffix in (".c", ".py", ".sh"))
    return tuple(parse(path, path.read_text(encoding="utf-8")) for path in paths)
