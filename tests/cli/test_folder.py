"""A state folder that another user could meddle with is refused in one line."""

import os
from pathlib import Path

import pytest

from glunix.cli import main
from glunix.cluster import embedded
from glunix.cluster.folder import locked, made_safe
from glunix.errors import GlunixError

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")


def test_a_new_folder_is_private_where_it_must_be(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with locked(folder, 1.0):
        assert (folder / "private").stat().st_mode & 0o777 == 0o700
    made_safe(folder)


def test_private_must_be_a_folder_of_its_own(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "private").symlink_to(elsewhere)
    with pytest.raises(GlunixError, match="not a folder of its own"):
        made_safe(tmp_path)


@pytest.mark.parametrize("name", ["", "private"])
def test_others_may_not_write(tmp_path: Path, name: str) -> None:
    made_safe(tmp_path)
    (tmp_path / name).chmod(0o777)
    with pytest.raises(GlunixError, match="others may write there"):
        made_safe(tmp_path)
    (tmp_path / name).chmod(0o1777 if not name else 0o700)  # as /tmp
    made_safe(tmp_path)


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("name", ["", "private"])
def test_another_users_folder(tmp_path: Path, name: str) -> None:
    made_safe(tmp_path)
    os.chown(tmp_path / name, NOBODY, NOBODY)
    with pytest.raises(GlunixError, match=f"belongs to uid {NOBODY}"):
        made_safe(tmp_path)


def test_down_touches_nothing_that_is_not_the_clusters(tmp_path: Path) -> None:
    """With GLUNIX_DIR=/run it would have removed every socket there."""
    other = tmp_path / "other.sock"
    other.touch()
    assert embedded.stop_cluster(tmp_path) == (0, [])
    assert sorted(tmp_path.iterdir()) == [other]
    made_safe(tmp_path)
    assert embedded.stop_cluster(tmp_path) == (0, [])
    assert other.exists()


def members_of(folder: Path) -> set[int]:
    """Processes that work for this folder: their log is open in them."""
    found = set()
    for proc in Path("/proc").iterdir():
        try:
            if proc.name.isdecimal() and str((proc / "fd/1").readlink()).startswith(f"{folder}/"):
                found.add(int(proc.name))
        except OSError:
            continue
    return found


def test_who_cannot_start_leaves_nobody_and_is_forgotten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = folder / "home.sock"
    blocked.touch()
    assert main.main(["up", "-n", "2"]) == 1
    assert "home did not start" in capsys.readouterr().err
    assert not members_of(folder)
    blocked.unlink()
    try:
        assert main.main(["up", "-n", "2"]) == 0
        blocked.unlink()
        assert main.main(["up", "-n", "2"]) == 1
        assert f"home runs but {blocked} is gone" in capsys.readouterr().err
    finally:
        assert main.main(["down"]) == 0
    assert not members_of(folder)
