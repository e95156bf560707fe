"""Random shell scripts do under -T what they do natively: output, errors, statuses, files, what is
left of their input, and what signals from home make of them.

Two dozen in the short form; GLUNIX_LONG=1: 2,000. GLUNIX_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import re

import pytest

from .compare import NATIVE, TRANSPARENT, Both
from .scripts import line, signals

LONG = bool(os.environ.get("GLUNIX_LONG"))
SEED = int(os.environ.get("GLUNIX_SEED", "0"))
BEGIN = SEED or random.randrange(1 << 32)
SCRIPTS = int(os.environ.get("GLUNIX_SCRIPTS", "1" if SEED else "2000" if LONG else "24"))
PARTS = min(8, SCRIPTS)


KINDS = {"scripts": (line, 1), "signals": (signals, 5)}
"""Who makes them, and by how much they are longer than a script."""


@pytest.mark.timeout(3600 if LONG else 120)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", KINDS)
def test_same_as_native(both: Both, kind: str, part: int) -> None:
    make, share = KINDS[kind]
    differ = []
    for seed in range(BEGIN + part, BEGIN + max(1, SCRIPTS // share), PARTS):
        one = make(random.Random(seed))
        native, ours = {seen(both, one, NATIVE)}, {seen(both, one, TRANSPARENT)}
        if native != ours:  # a script that is not as certain as it was meant to be?
            native |= {seen(both, one, NATIVE) for _ in range(3)}
            ours |= {seen(both, one, TRANSPARENT) for _ in range(2)}
        if not (native & ours if len(native) > 1 else native == ours):
            differ.append(f"GLUNIX_SEED={seed}\n{one}\n  -T: {ours}\n  native: {native}")
    assert not differ, f"{len(differ)} differ\n" + "\n\n".join(differ)


_PID = re.compile(rb"(line \d+): +\d+ |\[\d+:")


def seen(both: Both, one: str, level: str) -> tuple[int, bytes, bytes]:
    """What came of it, without the pids that a shell names in its messages."""
    result = both.run(one, level, timeout=40)
    err = re.sub(rb" {2,}(\$G )?.*", b"", result.err)
    return result.status, _PID.sub(b"PID ", result.out), _PID.sub(b"PID ", err)
