"""Steps of making a lab: commands with a name, a deadline and an error that says which one failed.

Owns nothing. Every command of the lab that may hang or fail goes through `step`.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE = float(os.environ.get("GLUNIX_LAB_PATIENCE", "1"))
"""A factor for every deadline of the lab and its tests, for a machine busy with other things."""
TAIL = 30
"""Lines of a failed command's output that its error repeats."""


class LabError(Exception):
    """The lab cannot be made, in words for a person."""


UNAVAILABLE = os.EX_UNAVAILABLE
"""Exit status of a command that could not have its lab (sysexits.h): not a bug, not a failure."""


class Missing(LabError):
    """A program or right that this kind of lab needs is not there."""


@dataclass(frozen=True)
class Tool:
    """A command the lab runs and the Debian package that has it.

    A tool with a slash is a file that must exist; without a package, one that the kernel has.
    """

    command: str
    package: str

    def found(self) -> bool:
        """Whether it is here; /usr/sbin counts also for those who have it not on PATH."""
        if "/" in self.command:
            return Path(self.command).exists()
        path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        return shutil.which(self.command, path=path) is not None


def need(what: str, tools: Iterable[Tool], root: bool = True) -> None:
    """Raise Missing with the names of all that `what` lacks, and how to get it."""
    gone = [tool for tool in tools if not tool.found()]
    words = []
    if gone:
        packages = " ".join(dict.fromkeys(tool.package for tool in gone if tool.package))
        how = f" (apt-get install --no-install-recommends {packages})" if packages else ""
        words.append(", ".join(tool.command for tool in gone) + how)
    if platform.machine() != "x86_64":
        words.append(f"an x86-64 machine, not {platform.machine()}")
    if root and os.geteuid() != 0:
        words.append("root, for network namespaces and the image's file owners")
    if words:
        raise Missing(f"{what} needs: " + "; ".join(words))


def step(
    name: str,
    argv: Sequence[str | Path],
    timeout: float,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
) -> str:
    """Run a command to its end and return what it wrote; LabError names the step and says why.

    It gets a session of its own, so that a late one can be ended with all its children. `env` adds
    to ours. With `log` its output goes to that file instead of memory.
    """
    timeout *= PATIENCE
    words = [str(word) for word in argv]
    with contextlib.ExitStack() as stack:
        sink = subprocess.PIPE if log is None else stack.enter_context(log.open("ab"))
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
        try:
            out, _ = process.communicate(timeout=timeout)
        except BaseException as why:
            _end(process)
            if isinstance(why, subprocess.TimeoutExpired):
                raise LabError(f"{name}: not done after {timeout:.0f} s: {' '.join(words)}")
            raise
    text = (out or b"").decode(errors="replace") if log is None else log.read_text(errors="replace")
    if process.returncode != 0:
        end = "\n".join(text.splitlines()[-TAIL:])
        raise LabError(f"{name}: status {process.returncode}: {' '.join(words)}\n{end}")
    return text


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command's whole group; first it may remove its temporary files."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=10.0)


def until(
    condition: Callable[[], object], what: str, deadline: float, story: Callable[[], str]
) -> None:
    """Look again and again until it holds; LabError names `what` and tells its story."""
    deadline *= PATIENCE
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"not within {deadline:.0f} s: {what}\n{story()}")
        time.sleep(0.05)
