"""An embedded cluster: what cannot be reached any more is not waited for."""

import os
from pathlib import Path

import pytest

from glunix.cluster.embedded import start_cluster, stop_cluster
from glunix.cluster.folder import locked
from glunix.cluster.members import Member, birth, members, save
from glunix.errors import GlunixError


def test_who_runs_and_cannot_be_reached_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    with locked(folder, 1.0):
        save(folder, [Member("node1", os.getpid(), birth(os.getpid()), [])])
    with pytest.raises(GlunixError, match=r"node1 runs but .*node1\.sock is gone"):
        start_cluster(folder, 1)


def test_what_has_ended_is_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    with locked(folder, 1.0):
        save(folder, [Member("node1", os.getpid(), 1, [])])
    (folder / "node1.sock").touch()
    (folder / "private" / "master.sock").touch()
    assert stop_cluster(folder) == (0, [])
    assert members(folder) == []
    assert not list(folder.rglob("*.sock"))
    assert stop_cluster(tmp_path / "none") == (0, [])
