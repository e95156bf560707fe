"""What a user feels: from a key to its echo, in `cat` and in `vim`, against ssh.

Both are at a terminal of their own and stay open; the keys of a round are typed one after the
other, each when the one before has been shown.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from .harness import MILLISECONDS, Absent, Contender, Judged, Row, Section, Target, alternate
from .measure import Plan, Stage
from .onpty import OnPty
from .ours import cluster
from .peers import Package, need
from .peers.ssh import ssh

TITLE = "from a key to its echo: glurun -T against ssh"
KEYS = 20
VIM = Package("apt", ("vim",))
_VIM = ("-u", "NONE", "-i", "NONE", "-n", "-N")


def _cat(running: OnPty) -> Callable[[], float]:
    """Seconds from a key to the terminal's echo of it; the line is taken back after each round."""

    def sample() -> float:
        times = [running.key(b"q", b"q") for _ in range(KEYS)]
        running.key(b"\n", b"q" * KEYS + b"\r\n")
        return statistics.median(times)

    return sample


def _line(running: OnPty) -> Callable[[], float]:
    """Seconds from Enter to what `cat` makes of the line: its read and its write."""

    def sample() -> float:
        times = []
        for _ in range(KEYS):
            running.key(b"z", b"z")
            times.append(running.key(b"\n", b"\r\nz\r\n"))
        return statistics.median(times)

    return sample


def _vim(running: OnPty) -> Callable[[], float]:
    """Seconds from a key in insert mode to its letter on the screen."""
    running.settle()
    running.key(b"i", b"INSERT")
    running.settle()

    def sample() -> float:
        times = [running.key(b"q", b"q") for _ in range(KEYS)]
        running.key(b"\x15", b"\x1b")  # ^U: an empty line again
        running.settle()
        return statistics.median(times)

    return sample


def measure(plan: Plan) -> Section:
    """Rows of cat's echo, cat's answer and vim, each against the same over ssh."""
    with Stage() as stage:
        ours, peer = stage.enter(cluster(2)), stage.enter(ssh())
        vim = need("vim", VIM)

        def both(argv: Sequence[str], how: Callable[[OnPty], Callable[[], float]]) -> list[object]:
            found: dict[str, Contender] = {}
            if isinstance(ours, Absent):
                found["ours"] = ours
            else:
                tool = ours.command([])[0]
                found["ours"] = _started(stage, OnPty([tool, "-T", *argv], ours.env), how)
            if isinstance(peer, Absent):
                found["ssh"] = peer
            else:
                words = peer.command(argv)
                words.insert(len(words) - 2, "-tt")
                found["ssh"] = _started(stage, OnPty(words, peer.env), how)
            got = alternate(found, plan.short_rounds // 2, MILLISECONDS)
            return [got["ours"], got["ssh"], MILLISECONDS, Target(Judged.RATIO, 1.0)]

        rows = (
            Row("a key in cat / ssh", *both(["cat"], _cat)),
            Row("Enter to cat's line / ssh", *both(["cat"], _line)),
            Row("a key in vim / ssh", *both([vim, *_VIM], _vim)),
        )
    return Section(TITLE, rows, complaints=stage.complaints)


def _started(
    stage: Stage, running: OnPty, how: Callable[[OnPty], Callable[[], float]]
) -> Contender:
    entered = stage.enter(running)
    if isinstance(entered, Absent):
        return entered
    entered.settle()
    return how(entered)
