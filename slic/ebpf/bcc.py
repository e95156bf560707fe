"""BPF programs that a user writes inline, compiled by BCC: `slic run -i bpf:FILE.c -- CMD`.

BCC (Debian: python3-bpfcc) compiles a program against the headers of the running kernel, so it
works where those are installed (linux-headers), and its conventions hold: functions by their
prefixes (`kprobe__`, `TRACEPOINT_PROBE`, `RAW_TRACEPOINT_PROBE`, ...), tables by its macros. The
macro SLIC_SUPERVISOR is the pid of the process whose child the observed program is.
"""

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from slic.kernel.libc import LIBC

DEBIAN = "/usr/lib/python3/dist-packages"
MISSING = "BCC is missing (Debian: python3-bpfcc)"
ROWS = 1000
_TABLE = re.compile(r"^\s*BPF_(?:\w+_)?(?:HASH|ARRAY|HISTOGRAM)\(\s*(\w+)", re.M)


class BccError(ValueError):
    """BCC is not here, or refuses the program; the message is its own."""


def found() -> str | None:
    """Where BCC is; None: nowhere. Debian's is for the system's Python, but serves any."""
    with _reachable():
        spec = importlib.util.find_spec("bcc")
    return None if spec is None or spec.origin is None else os.path.dirname(spec.origin)


@contextmanager
def _reachable() -> Iterator[None]:
    sys.path.append(DEBIAN)
    try:
        yield
    finally:
        sys.path.remove(DEBIAN)


class Inline:
    """A program of the user's, in the kernel until `close`."""

    def __init__(self, path: str) -> None:
        """Compile, load and attach. BccError with BCC's words."""
        if found() is None:
            raise BccError(MISSING)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with _reachable():
            bcc: Any = importlib.import_module("bcc")
        self._tables = sorted(set(_TABLE.findall(text)))
        words: list[str] = []
        try:
            with _complaints(words):
                self._bpf = bcc.BPF(text=text, cflags=[f"-DSLIC_SUPERVISOR={os.getpid()}"])
        except Exception as error:  # BCC raises plain Exception
            said = [line for line in "".join(words).splitlines() if line.strip()]
            errors = [line for line in said if re.search("error|unable", line, re.I)] or said
            raise BccError(": ".join([str(error), *errors[:1]])) from error

    def tables(self, write: Callable[[str], object]) -> None:
        """Show every hash, array and histogram of the source, at most ROWS rows of each."""
        for name in self._tables:
            table = self._bpf[name]
            rows = [(_shown(key), _shown(value)) for key, value in list(table.items())[:ROWS]]
            write(f"{name}: {len(rows)} rows\n")
            for key, value in sorted(rows):
                write(f"  {key}: {value}\n")

    def close(self) -> None:
        self._bpf.cleanup()


@contextmanager
def _complaints(words: list[str]) -> Iterator[None]:
    """What BCC and its compiler write to our outputs, and leave out of the exception."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    before = {fd: os.dup(fd) for fd in (1, 2)}
    os.set_blocking(writing, False)  # a compiler that complains without end must not hang us
    for fd in before:
        os.dup2(writing, fd)
    os.close(writing)
    try:
        yield
    finally:
        LIBC.fflush(None)  # BCC's own stdio
        for fd, own in before.items():
            os.dup2(own, fd)
            os.close(own)
        while data := os.read(reading, 1 << 16):
            words.append(data.decode(errors="replace"))
        os.close(reading)


def _shown(value: Any) -> str:
    """A key or value of a table: a number, or the fields of a structure."""
    fields = getattr(value, "_fields_", None)
    if fields is None or hasattr(value, "value"):
        plain = getattr(value, "value", value)
        return plain.decode(errors="replace") if isinstance(plain, bytes) else str(plain)
    return ", ".join(f"{name}={_shown(getattr(value, name))}" for name, *_ in fields)
