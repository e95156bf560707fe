"""The ring's reader: records in order, what is being written or discarded, and whole positions."""

import mmap
import os
import struct
import subprocess
from collections.abc import Callable, Iterator

import pytest

from slic.ebpf.ring import Ring

Guest = Callable[..., str]
PAGE = mmap.PAGESIZE
BUSY, DISCARDED = 1 << 31, 1 << 30


@pytest.fixture
def memory() -> Iterator[int]:
    """In the kernel's layout: consumer's page, producer's page, the data (here only once)."""
    fd = os.memfd_create("ring")
    yield fd
    os.close(fd)


def fill(fd: int, size: int, records: list[tuple[int, bytes]], produced: int | None = None) -> None:
    data = b"".join(
        struct.pack("=II", flags | len(body), 0) + body.ljust((len(body) + 7) & ~7, b"\0")
        for flags, body in records
    )
    os.ftruncate(fd, 2 * PAGE + 2 * size)
    os.pwrite(fd, data, 2 * PAGE)
    os.pwrite(fd, struct.pack("=Q", len(data) if produced is None else produced), PAGE)


def test_records_in_order_but_the_discarded_ones(memory: int) -> None:
    fill(memory, 4096, [(0, b"one"), (DISCARDED, b"not"), (0, b"four5678"), (0, b"")])
    ring = Ring(memory, 4096)
    assert list(ring.records(1)) == [b"one"]
    assert list(ring.records()) == [b"four5678", b""]
    assert list(ring.records()) == []
    assert struct.unpack("=Q", os.pread(memory, 8, 0)) == (16 + 16 + 16 + 8,)
    ring.close()


def test_one_that_is_being_written_ends_it(memory: int) -> None:
    fill(memory, 4096, [(0, b"one"), (BUSY, b"two"), (0, b"three")])
    ring = Ring(memory, 4096)
    assert list(ring.records()) == [b"one"]
    os.pwrite(memory, struct.pack("=I", 3), 2 * PAGE + 16)
    assert list(ring.records()) == [b"two", b"three"]
    ring.close()


WATCHER = r"""
int main(int c, char **v) {
  volatile uint64_t *at = mmap(0, 4096, PROT_READ, MAP_SHARED, 3, 0);
  uint64_t last = 0, now, end = strtoull(v[1], 0, 10), back = 0, looks = 0;
  write(1, "x", 1);
  while (last < end) {
    now = *at; looks++;
    if (now < last) back++; else last = now; }
  printf("%lu %lu\n", (unsigned long)back, (unsigned long)looks);
  return 0; }
"""


def test_the_kernel_never_sees_half_of_a_position(memory: int, guest: Guest) -> None:
    """It would take the ring for full, and lose an event."""
    size = 1 << 22
    count = size // 16
    fill(memory, size, [(0, b"12345678")] * count)
    ring = Ring(memory, size)
    program = guest("position", WATCHER)
    with subprocess.Popen(
        [program, str(count * 16)],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.dup2(memory, 3),
        close_fds=False,
    ) as watcher:
        assert watcher.stdout is not None and watcher.stdout.read(1) == b"x"
        assert sum(1 for _ in ring.records()) == count
        back, looks = (int(word) for word in watcher.stdout.read().split())
    ring.close()
    assert looks > 1000
    assert back == 0
