"""What the startup says to its user, on stderr: complaints, failed starts, times."""

from __future__ import annotations

import errno
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glunix.home.options import Options
    from glunix.home.terminal.tty import HomeTerminal


def complain(line: str, terminal: HomeTerminal | None) -> None:
    """One line on stderr; in raw mode it needs its own carriage return."""
    end = "\r\n" if terminal is not None and terminal.is_raw else "\n"
    try:
        posix.write(2, f"glurun: {line}{end}".encode("utf-8", "surrogateescape"))
    except OSError:
        pass  # nobody can be told


def not_started(step: str, error: int, line: str, vnn: int, node: str, options: Options) -> str:
    """What the user is told of a process that could not be started."""
    where = f"[{vnn} on {node}] " if options.degree > 1 else ""
    if error == errno.ENOENT:
        from glunix.home.staging import here_though

        line += here_though(step, line, node, options)
    return where + line


def times_told(times: list[tuple[str, float]], before: float) -> str:
    """Seconds of each step, a line each (paper, Figure 6)."""
    lines = ""
    for name, at in times:
        lines += f"{name} {at - before:.6f}\n"
        before = at
    return lines
