"""`glukill [-SIG | -s SIG | -l [SIG]] NPID[.VNN]...`: kill(1) for the cluster (paper 3.2).

Exit status as kill(1): 0 all done, 1 none done or bad usage, 64 some done.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from glunix import __version__, api
from glunix.cli import signals
from glunix.cli.common import SIGNAL_STATUS, as_script, one_line
from glunix.errors import GlunixError, NotRunning
from glunix.ids import DEGREE_MAX, NPID_MAX

SOME_DONE = 64
OPTIONS = ("-s", "--signal", "-l", "--list", "--json", "--help", "--version")
"""Besides -SIGNAME and -NUMBER. argparse cannot read those, so this tool parses by hand."""

USAGE = """\
usage: glukill [-SIGNAL | -s SIGNAL] [--json] NPID[.VNN]...
       glukill -l [SIGNAL]

Send a signal (TERM unless given; 0 only asks) to all processes of a job, or to one of them.

  -SIGNAL, -s SIGNAL, --signal SIGNAL
                  which signal: a number or a name, with or without SIG
  -l, --list      list signals, or translate one name, number or exit status
  --json          print what was signalled as JSON
  --version       print the version

examples:
  glukill -INT 1234   as ^C would
  glukill -9 1234.2   only the third process of the job
"""


class UsageError(Exception):
    """The command line makes no sense; one line."""


@dataclass(frozen=True, slots=True)
class Target:
    """A job, or one of its processes."""

    npid: int
    vnn: int | None

    def __str__(self) -> str:
        return str(self.npid) if self.vnn is None else f"{self.npid}.{self.vnn}"


@dataclass(frozen=True, slots=True)
class Order:
    """A parsed command line."""

    signal: int
    targets: tuple[Target, ...]
    json: bool = False


def target_of(text: str) -> Target:
    """Parse NPID or NPID.VNN; UsageError otherwise."""
    npid, dot, vnn = text.partition(".")
    if not _digits(npid) or (dot and not _digits(vnn)):
        raise UsageError(f"not a job: {one_line(text)!r} (expected NPID or NPID.VNN)")
    if not 1 <= int(npid) <= NPID_MAX or (dot and int(vnn) >= DEGREE_MAX):
        raise UsageError(f"no such job can be: {text}")
    return Target(int(npid), int(vnn) if dot else None)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 10


def parse(argv: Sequence[str]) -> Order:
    """Parse a command line without -l, --help and --version; UsageError says what is wrong."""
    words = list(argv)
    signal = "TERM"
    json = False
    while words and words[0].startswith("-") and len(words[0]) > 1:
        word = words.pop(0)
        if word == "--":
            break
        if word == "--json":
            json = True
        elif word in ("-s", "--signal"):
            if not words:
                raise UsageError(f"{word} needs a signal")
            signal = words.pop(0)
        elif word.startswith("--signal="):
            signal = word.removeprefix("--signal=")
        elif word.startswith("--"):
            raise UsageError(f"no option {word}")
        else:
            signal = word[1:]
    try:
        number = signals.number_of(signal)
    except ValueError as error:
        raise UsageError(one_line(str(error))) from None
    if not words:
        raise UsageError("which job? (glups shows them)")
    return Order(number, tuple(target_of(word) for word in words), json)


def listing(words: Sequence[str]) -> str:
    """What -l prints: the table, or one translation (an exit status over 128 too, as kill -l)."""
    if not words:
        return signals.table()
    lines = []
    for word in words:
        try:
            if _digits(word):
                number = int(word)
                number -= SIGNAL_STATUS if number > SIGNAL_STATUS else 0
                lines.append(signals.name_of(number))
            else:
                lines.append(str(signals.number_of(word)))
        except ValueError as error:
            raise UsageError(one_line(str(error))) from None
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit status."""
    words = as_script(argv)
    try:
        if words[:1] in (["--help"], ["-h"]):
            sys.stdout.write(USAGE)
            return 0
        if words[:1] == ["--version"]:
            print(f"glukill {__version__}")
            return 0
        if words[:1] in (["-l"], ["--list"]):
            sys.stdout.write(listing(words[1:]))
            return 0
        order = parse(words)
    except UsageError as error:
        print(f"glukill: {error}", file=sys.stderr)
        return 1
    return _carry_out(order)


def _carry_out(order: Order) -> int:
    done: list[dict[str, object]] = []
    for target in order.targets:
        try:
            count = api.kill(target.npid, order.signal, target.vnn)
        except NotRunning as error:
            print(f"glukill: {error}", file=sys.stderr)
            break
        except GlunixError as error:
            print(f"glukill: {target}: {one_line(str(error))}", file=sys.stderr)
        else:
            done.append({"npid": target.npid, "vnn": target.vnn, "processes": count})
    if order.json:
        import json

        print(json.dumps({"signal": order.signal, "done": done}))
    if len(done) == len(order.targets):
        return 0
    return SOME_DONE if done else 1
