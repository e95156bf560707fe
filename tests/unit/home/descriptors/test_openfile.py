"""Which descriptors of home are one open file, and how much a file has room for."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from glunix.home.descriptors.openfile import must_care, position, room, same_open

HOW = os.O_RDWR | os.O_CREAT


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[list[int]]:
    """A file opened twice, and a duplicate of the first."""
    first = os.open(tmp_path / "f", HOW)
    found = [first, os.open(tmp_path / "f", HOW | os.O_APPEND), os.dup(first)]
    yield found
    for fd in found:
        os.close(fd)


def test_which_are_one(opened: list[int]) -> None:
    first, second, duplicate = opened
    for _ in range(50):
        assert same_open(first, duplicate) and same_open(duplicate, first)
        assert not same_open(first, second) and not same_open(second, duplicate)


def test_room(opened: list[int]) -> None:
    first, second, _ = opened
    os.write(second, bytes(700))
    assert (position(first), position(second)) == (0, 700)
    assert (room(first, 1000), room(second, 1000), room(second, 600)) == (1000, 300, 0)
    assert room(first, -1) > 1000


def test_whom_to_care_for(opened: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, duplicate = opened
    monkeypatch.setattr("glunix.home.descriptors.openfile.PLENTY", 0)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2)
    assert not must_care([first, duplicate])
    assert must_care([first, second])
    reads, writes = os.pipe()
    assert not must_care([reads, writes, first])
    os.close(reads)
    os.close(writes)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1 << 40,) * 2)
    assert must_care([first])
    assert not must_care([])
    monkeypatch.undo()
    monkeypatch.setattr("glunix.home.descriptors.openfile.PLENTY", 1 << 80)
    assert must_care([first])
