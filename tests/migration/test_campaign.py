"""Guests moved, or frozen and let go on, many times at random moments; long in `make test-long`."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from .guestrun import NAMES, run_guest
from .mover import Mover

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: process ids are chosen"),
    pytest.mark.slow,
]
LONG = bool(os.environ.get("GLUNIX_LONG"))
SHORT_FORM = ("call_waits", "process_stopped", "signal_pending", "process_tree", "timer_posix")


@pytest.mark.parametrize("name", NAMES if LONG else SHORT_FORM)
def test_many_moves(name: str, tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "little")
    chance = random.Random(seed)

    def at_barrier(moving: Mover) -> None:
        for _ in range(50 if LONG else 6):
            if chance.random() < 0.7:
                moving.move()
            else:
                moving.abort()
            time.sleep(chance.choice((0.0, 0.001, 0.02)))

    try:
        run_guest(name, tmp_path, at_barrier)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error
