"""cluster.json: which processes a cluster has, and which of them still run."""

import os
from pathlib import Path

import pytest

from glunix.cluster.members import Member, birth, members, save


def test_a_process_is_known_by_its_birth() -> None:
    pid = os.getpid()
    assert Member("node1", pid, birth(pid), []).alive
    assert not Member("node1", pid, birth(pid) - 1, []).alive  # its pid was another's before
    assert not Member("node1", pid, 0, []).alive
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert birth(child) == 0  # a zombie does not run
    os.waitpid(child, 0)
    assert birth(child) == 0


def test_what_was_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    assert members(tmp_path) == []
    save(tmp_path, [Member("master", 1, 2, []), Member("node1", 3, 4, ["uts", "pid"])])
    found = [(m.name, m.pid, m.born, m.isolated) for m in members(tmp_path)]
    assert found == [("master", 1, 2, []), ("node1", 3, 4, ["uts", "pid"])]


@pytest.mark.parametrize("text", ["", "{", "[{}]", "[1]", '[{"name": "a", "pid": "x"}]', "7"])
def test_a_damaged_file_is_no_members(tmp_path: Path, text: str) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "cluster.json").write_text(text)
    assert members(tmp_path) == []
