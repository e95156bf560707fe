"""Every golden file says what happens. `GLUNIX_UPDATE=1 pytest tests/scenario` writes them anew."""

import os
from pathlib import Path

import pytest

from scenario.script import Script, transcript

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.txt"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    told = path.read_text()
    found = transcript(told)
    if os.environ.get("GLUNIX_UPDATE") == "1":
        path.write_text(found)
    else:
        assert found.splitlines() == told.splitlines(), (
            f"see git diff after GLUNIX_UPDATE=1: {path}"
        )


def test_there_are_scenarios() -> None:
    wanted = {
        "exec_failure",
        "home_lost",
        "kill_of_anothers_job",
        "master_restart",
        "master_restart_without_journal",
        "node_lost_parallel",
        "node_lost_sequential",
        "second_daemon",
        "silent_node",
        "startup_lost",
    }
    assert {path.stem for path in GOLDEN} >= wanted


def test_a_changed_behaviour_changes_the_transcript() -> None:
    text = next(path for path in GOLDEN if path.stem == "startup_lost").read_text()
    assert transcript(text) == text
    assert transcript(text.replace("home over 1 startup is gone", "home over 1")) != text


def test_the_runner_checks_invariants() -> None:
    script = Script()
    script.run("node1 joins")
    script.master.core.ndb.nodes.clear()
    with pytest.raises(RuntimeError, match="links of no node"):
        script.run("node1 load 1")
