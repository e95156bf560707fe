"""What ps(1) shows of this process: its name, and the words of its command line.

The kernel reads /proc/PID/cmdline from the memory where execve(2) put the words (proc(5), arg_start
and arg_end of /proc/PID/stat). They can be overwritten there, or be put elsewhere: PR_SET_MM_MAP
(prctl(2)) tells the kernel where they are, and leaves the environment behind them alone.
"""

from __future__ import annotations

import posix

ROOM = 3072
"""Bytes of words that `Title` can show (glunix.msg.shadows.WORDS_MAX)."""

_PR_SET_MM, _PR_SET_MM_MAP = 35, 14
_FIRST = 3
"""The first field of /proc/PID/stat behind the name."""
_BEFORE_BRK = (26, 27, 45, 46, 47)
"""start_code, end_code, start_data, end_data, start_brk."""
_STACK, _ARGUMENTS = 28, 48
_BEHIND = (50, 51)
"""env_start, env_end."""
_MAP = 13 * 8
"""Bytes of struct prctl_mm_map (linux/prctl.h)."""
_NO_FILE = (1 << 32) - 1


def _stat(*fields: int) -> list[int]:
    """These fields of our own /proc/PID/stat, numbered as proc(5) does."""
    fd = posix.open("/proc/self/stat", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        found = posix.read(fd, 4096).rpartition(b")")[2].split()
    finally:
        posix.close(fd)
    return [int(found[field - _FIRST]) for field in fields]


def words_area() -> tuple[int, int]:
    """Where the words of our command line begin and end; OSError without /proc."""
    start, end = _stat(_ARGUMENTS, _ARGUMENTS + 1)
    return start, end


def _put(words: bytes, at: int) -> None:
    fd = posix.open("/proc/self/mem", posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.pwrite(fd, words, at)
    finally:
        posix.close(fd)


def overwrite(words: bytes) -> None:
    """Show other words, as far as there is room where ours are."""
    try:
        start, end = words_area()
        _put(words[: end - start - 1].ljust(end - start, b"\0"), start)
    except OSError:
        pass  # no /proc: it looks as it was started


class Title:
    """Shows one after the other."""

    def __init__(self) -> None:
        self._before, self._behind = _stat(*_BEFORE_BRK), _stat(*_BEHIND)
        (self._stack,) = _stat(_STACK)
        from glunix.home.libcall import function  # who only overwrites does not pay for it

        self._break, self._prctl = function("sbrk", 1), function("prctl", 5)
        self._room = function("malloc", 1)(_MAP + ROOM)
        """The map for the kernel, then words."""

    def show(self, name: bytes, words: bytes) -> None:
        """`name` is for ps's comm, `words` for its args: each with a NUL at its end."""
        fd = posix.open("/proc/self/comm", posix.O_WRONLY | posix.O_CLOEXEC)
        try:
            posix.write(fd, name)
        finally:
            posix.close(fd)
        words = words[: ROOM - 1].rstrip(b"\0") + b"\0"
        start = self._room + _MAP
        fields = (
            *self._before,
            self._break(0),
            self._stack,
            start,
            start + len(words),
            *self._behind,
        )
        # No auxiliary vector, and the executable stays the same.
        fields += (0, _NO_FILE << 32)
        _put(b"".join(number.to_bytes(8, "little") for number in fields) + words, self._room)
        if self._prctl(_PR_SET_MM, _PR_SET_MM_MAP, self._room, _MAP, 0) != 0:
            overwrite(words)  # a kernel without CONFIG_CHECKPOINT_RESTORE
