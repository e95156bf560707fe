"""What every tool shares: one-line errors, exit statuses, tables. No tool's own business.

Never imports rich unless a table goes to a terminal: a script that calls glups pays for no colours.
"""

import argparse
import atexit
import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from glunix import __version__
from glunix.errors import GlunixError

SIGNAL_STATUS = 128
LAST_COLUMN = 12
"""Characters that a table leaves its last column on a terminal, where it is longer."""


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line that says what may have been meant.

    A long option may be cut to what is unique, as getopt_long(3) has it. `misuse` is the exit
    status of bad usage: 1 where kill(1) and ps(1) say 1, else 2. `examples` end the help.
    """

    misuse = 2

    def __init__(
        self,
        prog: str | None = None,
        misuse: int = 2,
        add_version: bool = False,
        examples: Sequence[str] = (),
        **given: object,
    ) -> None:
        if examples:
            given["epilog"] = "\n  ".join(["examples:", *examples])
            given["formatter_class"] = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=prog, **given)  # type: ignore[arg-type]
        self.misuse = misuse
        if add_version:
            self.add_argument("--version", action="version", version=f"%(prog)s {__version__}")

    def parse_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """As argparse has it; a word that nothing takes is compared with the options."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            word = one_line(rest[0].partition("=")[0])
            known = [option for parser in self._used(found) for option in parser._option_strings()]
            self.error(f"unrecognized argument {word}{_guess(word, known)}")
        return found

    def _used(self, found: argparse.Namespace) -> list["Parser"]:
        """This parser, or that of the sub-command which was given."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                chosen = action.choices.get(str(getattr(found, action.dest, "")))
                return [self] if chosen is None else [chosen]
        return [self]

    def _option_strings(self) -> list[str]:
        return list(self._option_string_actions)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """A word that is none of an action's choices: say which they are, and the closest."""
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        guess = _guess(str(value), known)
        more = guess or f" (one of: {', '.join(known)})"
        raise argparse.ArgumentError(action, f"no such choice: {one_line(str(value))}{more}")

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with `misuse`."""
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(self.misuse)


def _guess(word: str, known: Sequence[str]) -> str:
    from glunix.cli.guesses import did_you_mean

    return did_you_mean(word, known)


def run(tool: str, work: Callable[[], int], failure: int = 1) -> int:
    """Do a tool's work; an error that a user may see becomes one line and status `failure`."""
    try:
        status = work()
        sys.stdout.flush()
        return status
    except GlunixError as error:
        print(f"{tool}: {one_line(str(error))}", file=sys.stderr)
        return failure
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        print(f"{tool}: cannot write output: {error.strerror}", file=sys.stderr)
        _discard_output()
        return failure


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def _discard_output() -> None:
    """What Python still holds for stdout goes nowhere, or it would fail again at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _flush_at_exit() -> None:
    """For what argparse prints, and what is printed outside of `run`."""
    try:
        sys.stdout.flush()
    except OSError as error:
        tool = os.path.basename(sys.argv[0])
        print(f"{tool}: cannot write output: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(1)


def _open_closed() -> None:
    """What the user closed of fds 0-2 becomes /dev/null: Python has None for them otherwise."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, so this one
    sys.stdout = sys.stdout or open(os.devnull, "w")
    sys.stderr = sys.stderr or open(os.devnull, "w")


def as_script(argv: Sequence[str] | None) -> list[str]:
    """Arguments to parse; run from the command line (None), also behave as a Unix filter does.

    ^C and a closed pipe then end the process by their signal, so that the shell can tell.
    """
    if argv is not None:
        return list(argv)
    _open_closed()
    atexit.register(_flush_at_exit)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    return sys.argv[1:]


def one_line(text: str) -> str:
    """Make text from elsewhere safe to print: no line ends, no terminal controls."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain_table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int]) -> str:
    """Columns two spaces apart, as ps(1) prints them; the last column is not padded."""
    lines = [list(heads), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    last = len(heads) - 1
    text = []
    for line in lines:
        cells = [
            cell.rjust(widths[i]) if i in right else cell if i == last else cell.ljust(widths[i])
            for i, cell in enumerate(line)
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text) + "\n"


def is_too_wide(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether a table in `width` columns would leave its last column next to nothing."""
    last = max((len(row[-1]) for row in [heads, *rows]), default=0)
    others = sum(max(len(line[i]) for line in [heads, *rows]) + 2 for i in range(len(heads) - 1))
    return others + min(last, LAST_COLUMN) > width


def records(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """A row as lines of head and value, for a terminal that the columns do not fit."""
    import textwrap

    margin = max(map(len, heads)) + 2
    room = max(width - margin, 4)
    blocks = []
    for row in rows:
        lines = []
        for head, cell in zip(heads, row, strict=True):
            first, *more = textwrap.wrap(cell, room) or [""]
            lines += [f"{head:<{margin}}{first}".rstrip(), *(" " * margin + part for part in more)]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def show_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()
) -> None:
    """Print a table: rich on a terminal, plain columns elsewhere. `right` are right-aligned."""
    if not sys.stdout.isatty():
        sys.stdout.write(plain_table(heads, rows, right))
        sys.stdout.flush()
        return
    width = shutil.get_terminal_size().columns
    if rows and is_too_wide(heads, rows, width):
        sys.stdout.write(records(heads, rows, width))
        sys.stdout.flush()
        return
    if os.environ.get("TERM") in (None, "dumb"):
        lines = plain_table(heads, rows, right).splitlines()
        cut = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
        sys.stdout.write("\n".join(cut) + "\n")
        sys.stdout.flush()
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, head in enumerate(heads):
        table.add_column(
            head, justify="right" if index in right else "left", no_wrap=index < len(heads) - 1
        )
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    Console().print(table)


def size(count: int) -> str:
    """Bytes as people read them, in powers of 1024: 512, 1.5K, 3.2G."""
    value = float(count)
    for unit in ("", "K", "M", "G", "T"):
        if value < 1024 or unit == "T":
            return f"{value:.0f}{unit}" if unit == "" or value >= 100 else f"{value:.1f}{unit}"
        value /= 1024
    raise AssertionError("unreachable")


def span(seconds: float) -> str:
    """A duration as ps(1) writes it: [[D-]HH:]MM:SS."""
    whole = max(int(seconds), 0)
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    text = f"{minutes:02}:{secs:02}"
    if hours or days:
        text = f"{hours:02}:{text}"
    return f"{days}-{text}" if days else text
