"""What every tool shares: one-line errors, exit statuses, tables. No tool's own business.

Never imports rich unless a table goes to a terminal: a script that calls glups pays for no colours.
"""

import argparse
import atexit
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from glunix import __version__
from glunix.errors import GlunixError

SIGNAL_STATUS = 128


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is one line, and options are never abbreviated.

    `misuse` is the exit status of bad usage: 1 where kill(1) and ps(1) say 1, else 2.
    """

    misuse = 2

    def __init__(
        self, prog: str | None = None, misuse: int = 2, add_version: bool = False, **given: object
    ) -> None:
        super().__init__(prog=prog, allow_abbrev=False, **given)  # type: ignore[arg-type]
        self.misuse = misuse
        if add_version:
            self.add_argument("--version", action="version", version=f"%(prog)s {__version__}")

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with `misuse`."""
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(self.misuse)


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


def show_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()
) -> None:
    """Print a table: rich on a terminal, plain columns elsewhere. `right` are right-aligned."""
    if not sys.stdout.isatty() or os.environ.get("TERM") in (None, "dumb"):
        sys.stdout.write(plain_table(heads, rows, right))
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
