"""Where a cluster's folder is when nobody says so."""

from __future__ import annotations

import posix
from pathlib import Path

import pytest

from glunix import config
from glunix.cluster import folder


@pytest.mark.parametrize(
    ("uid", "run_is_ours", "state", "cluster"),
    [
        (0, True, "/run/glunix", "/var/lib/glunix"),
        (0, False, "{home}/.glunix", "{home}/.glunix"),  # root of a user namespace (unshare -Ur)
        (1000, False, "{home}/.glunix", "{home}/.glunix"),
    ],
)
def test_the_folder_of_who_says_none(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    uid: int,
    run_is_ours: bool,
    state: str,
    cluster: str,
) -> None:
    monkeypatch.delenv("GLUNIX_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".glunix").mkdir()
    monkeypatch.setattr(posix, "geteuid", lambda: uid)
    monkeypatch.setattr(posix, "access", lambda path, mode: run_is_ours)
    assert config.state_folder() == state.format(home=tmp_path)
    assert str(folder.cluster_folder()) == cluster.format(home=tmp_path)
