"""docs/interposers.md: its policies load, its table is the generated one, its example runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from slic.interposers.guard import load
from slic.interposers.restrict import Rules
from slic.interposers.support.pathcalls import table

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "interposers.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.S)


def block(kind: str, word: str) -> str:
    return next(body for own, body in BLOCKS if own == kind and word in body)


def test_the_policies_of_the_docs_load() -> None:
    rules = Rules.load(block("toml", "policy.toml"))
    assert len(rules.targets) == 4
    assert len(load(block("toml", "rules.toml"))) == 4


def test_the_table_is_the_generated_one() -> None:
    assert table() in TEXT


def test_the_example_of_identity_runs() -> None:
    command, _, expected = block("console", "identity:hostname=home").partition("\n")
    words = shlex.split(command.removeprefix("$ slic "))
    done = subprocess.run(
        [sys.executable, "-m", "slic.cli", *words], capture_output=True, text=True, check=True
    )
    assert done.stdout == expected
