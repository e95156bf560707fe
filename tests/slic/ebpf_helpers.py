"""What the tests of eBPF share: what is missing here, watched children, and reading to the end."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from slic.ebpf import loader, objects
from slic.ebpf.events import Event
from slic.ebpf.layout import Want
from slic.ebpf.monitor import Monitor, Watch
from slic.kernel import libbpf

T = TypeVar("T")
DEADLINE = 60.0
ALL = Want.LIVES | Want.STOPS | Want.SIGNALS | Want.COUNTS


def missing(want: Want = ALL) -> str:
    """Why such a monitor cannot be had here; empty where it can."""
    if objects.OBJECT.built() is None and shutil.which("clang") is None:
        return "neither clang nor a compiled BPF object (Debian: clang)"
    return loader.unavailable(loader.wanted_by(want)) or ""


WITHOUT = missing()
needs_bpf = pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)


class Held:
    """A child that waits to be watched before it does anything; `go` lets it, `wait` ends it."""

    def __init__(self, work: Callable[[], object] | Sequence[str]) -> None:
        gate, self._open = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._open)
                os.read(gate, 1)
                if callable(work):
                    work()
                    os._exit(0)
                os.execv(work[0], list(work))
            finally:
                os._exit(126)
        os.close(gate)

    def go(self) -> None:
        os.close(self._open)

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def until_over(monitor: Monitor, *watches: Watch) -> list[Event]:
    """Every event until no task of the watches is left; a sweep where events were lost."""
    found: list[Event] = []
    deadline = time.monotonic() + DEADLINE
    while any(watch.tasks for watch in watches):
        assert time.monotonic() < deadline, [watch.tasks for watch in watches]
        if monitor.wait(3.0):
            deadline = time.monotonic() + DEADLINE  # a storm goes on as long as it goes on
        else:
            for watch in watches:
                found += monitor.sweep(watch)
        found += monitor.read()
    return found


def of_type(events: Sequence[Event], kind: type[T]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


def own_namespace(pid: int, name: str = "pid_for_children") -> int:
    return Path(f"/proc/{pid}/ns/{name}").stat().st_ino


def held_by(pid: int) -> dict[str, set[int]]:
    """The numbers of programs, maps and links that a process holds descriptors of."""
    found: dict[str, set[int]] = {"prog": set(), "map": set(), "link": set()}
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        for line in entry.read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("prog_id", "map_id", "link_id"):
                found[name.removesuffix("_id")].add(int(value))
    assert all(found.values()), found
    return found


def wait_until_unloaded(held: dict[str, set[int]]) -> None:
    """The kernel frees programs after a grace period of RCU; AssertionError if it does not."""
    deadline = time.monotonic() + DEADLINE
    while left := {kind: ids & libbpf.loaded()[kind] for kind, ids in held.items()}:
        if not any(left.values()):
            return
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
