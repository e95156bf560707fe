"""Each guest: moved, moved twice, and frozen and let go on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .guestrun import NAMES, run_guest
from .mover import Mover

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: process ids are chosen")


@pytest.mark.parametrize("name", NAMES)
def test_moved(name: str, tmp_path: Path) -> None:
    run_guest(name, tmp_path, Mover.move)


def _twice(moving: Mover) -> None:
    moving.move()
    moving.move()


@pytest.mark.parametrize("name", NAMES)
def test_moved_twice(name: str, tmp_path: Path) -> None:
    run_guest(name, tmp_path, _twice)


@pytest.mark.parametrize("name", NAMES)
def test_frozen_and_let_go_on(name: str, tmp_path: Path) -> None:
    run_guest(name, tmp_path, Mover.abort)
