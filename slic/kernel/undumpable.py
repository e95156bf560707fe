"""A look into a task of ours that made itself undumpable (prctl(2), PR_SET_DUMPABLE; proc(5)).

The kernel then shows its memory and descriptors to CAP_SYS_PTRACE only, and its folder of
descriptors to root alone. A supervisor that has the right permitted raises it for one look, in this
thread; the caller checks right before and after that the task is the one it serves.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from slic.kernel import capabilities as caps


def can_look() -> bool:
    """Whether there is a right to raise."""
    have = caps.get()
    return bool(have.permitted & ~have.effective & caps.CAP_SYS_PTRACE)


@contextmanager
def looking() -> Iterator[None]:
    """A block in which this thread may look."""
    have = caps.get()
    caps.set(have._replace(effective=have.effective | caps.CAP_SYS_PTRACE))
    try:
        yield
    finally:
        caps.set(have)
