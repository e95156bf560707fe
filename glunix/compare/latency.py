"""What single calls cost each way: latency.c on a terminal whose user types ahead."""

from __future__ import annotations

import re
from dataclasses import dataclass

from glunix.compare.build import HERE, compile_c, missing
from glunix.compare.guest import Do, StdinKind, Step
from glunix.compare.launch import Late, Launch, Wrap, launch, scratch
from glunix.compare.runner import environment
from glunix.compare.ways import Subject

CALLS = ("getpid", "uname", "read", "ioctl")
"""getpid: a call nobody asks for; read: one key of the terminal; ioctl: FIONREAD on it."""

SUBJECT = Subject("latency", ("uname", "read", "ioctl"))
DEADLINE = 60.0
_KEYS = b"k" * 1000


@dataclass(frozen=True)
class Latency:
    """Nanoseconds of each of CALLS (medians), or why there are none."""

    nanoseconds: dict[str, int]
    reason: str = ""


def measure(wrap: Wrap) -> Latency:
    """Run the measuring program that way."""
    if lacking := missing("tty"):
        return Latency({}, lacking)
    argv = wrap([str(compile_c(HERE / "latency.c"))])
    with scratch() as folder:
        plan = Launch(
            argv,
            folder,
            environment(folder),
            stdin=StdinKind.TTY,
            tty=True,
            stdout_tty=True,
            stderr_tty=True,
            steps=(Step("data", Do.TYPE, value=_KEYS),),
            deadline=DEADLINE,
        )
        try:
            outcome = launch(plan)
        except Late:
            return Latency({}, f"it did not end within {DEADLINE:.0f} s")
    found = re.findall(r"^(\w+) (\d+)\r?$", outcome.stdout, re.MULTILINE)
    told = {name: int(number) for name, number in found if name in CALLS}
    if outcome.status != 0 or len(told) != len(CALLS):
        return Latency({}, f"status {outcome.status}: {outcome.stdout.strip()[-200:]}")
    return Latency(told)
