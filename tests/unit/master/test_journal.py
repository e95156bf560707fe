"""The journal: what is committed comes back, and every bad file is one clear line."""

import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from glunix.errors import GlunixError
from glunix.master import journal as module
from glunix.master.journal import Journal, JournalError
from glunix.msg.job import JobRow, ProcRow


def row(npid: int, state: str = "running") -> JobRow:
    procs = [ProcRow(0, "node1", 42, state)]
    return JobRow(npid, 1000, "home", "sleep 9 €", 1, False, state, 1.5, 0.0, "", procs)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def test_what_was_committed_comes_back(path: Path) -> None:
    with Journal(path) as journal:
        assert journal.load() == []
        journal.save(row(2))
        journal.save(row(1))
        journal.save(row(2, "stopped"))
        journal.save(row(3))
        journal.forget(3)
        journal.forget(99)
        journal.commit()
    with Journal(path) as journal:
        assert journal.load() == [row(1), row(2, "stopped")]
        journal.forget(1)
    with Journal(path) as journal:
        assert journal.load() == [row(2, "stopped")]


def test_nothing_is_written_before_commit(path: Path) -> None:
    with Journal(path) as journal:
        journal.save(row(1))
        changes = journal._database.total_changes
        assert changes == 0
        journal.commit()
        assert journal._database.total_changes == 1


def write_and_die(path: str) -> None:
    journal = Journal(Path(path))
    journal.save(row(7))
    journal.commit()
    journal.save(row(8))
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_master_loses_nothing_committed(path: Path) -> None:
    tests = Path(__file__).parents[2]
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from unit.master.test_journal import write_and_die; write_and_die({str(path)!r})",
        ],
        env={**os.environ, "PYTHONPATH": f"{tests}:{tests.parent}"},
        timeout=30,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    with Journal(path) as journal:
        assert journal.load() == [row(7)]


def test_one_master_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.0)
    with Journal(path) as journal:
        journal.save(row(1))
        journal.commit()
        with pytest.raises(JournalError, match="locked"):
            Journal(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"this is no database, whatever its name says\n" * 50, "file is not a database"),
        (b"SQLite format 3\0" + b"\xff" * 4096, "file is not a database"),
    ],
)
def test_not_a_database(path: Path, content: bytes, text: str) -> None:
    path.write_bytes(content)
    with pytest.raises(GlunixError, match=text) as caught:
        Journal(path)
    assert str(path) in str(caught.value) and "without it the master starts" in str(caught.value)
    assert path.read_bytes() == content
    assert str(path) not in open_files()


def test_database_of_something_else(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE jobs (npid INTEGER PRIMARY KEY, row BLOB)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="not a journal of GLUnix"):
        Journal(path)
    assert path.read_bytes() == before


def test_newer_version(path: Path) -> None:
    Journal(path).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(JournalError, match="version 99, not 2"):
        Journal(path)


def test_overwritten_pages(path: Path) -> None:
    with Journal(path) as journal:
        for npid in range(1, 500):
            journal.save(row(npid))
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    with pytest.raises(JournalError, match=r"malformed|damaged"), Journal(path) as journal:
        journal.load()


@pytest.mark.parametrize("body", [b"\xc1", b"\x93\x01\x02", "text", None], ids=repr)
def test_damaged_row(path: Path, body: object) -> None:
    Journal(path).close()
    other = sqlite3.connect(path)
    value = b"" if body is None else body
    other.execute("INSERT INTO jobs VALUES (5, ?)", (value,))
    other.commit()
    other.close()
    with Journal(path) as journal, pytest.raises(JournalError, match="job 5 is damaged"):
        journal.load()


def test_row_under_another_number(path: Path) -> None:
    with Journal(path) as journal:
        journal.save(row(1))
    other = sqlite3.connect(path)
    other.execute("UPDATE jobs SET npid = 2")
    other.commit()
    other.close()
    with Journal(path) as journal, pytest.raises(JournalError, match="job 2 is damaged"):
        journal.load()


def test_full_disk(path: Path) -> None:
    """RLIMIT_FSIZE stands for the full disk: the write fails, the process lives."""
    with Journal(path) as journal:
        journal.save(row(1))
        journal.commit()
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = path.with_name(path.name + "-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            journal.save(row(2))
            with pytest.raises(JournalError, match="cannot write the journal"):
                journal.commit()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        journal.commit()  # there is room again: what was to be written still is
        assert journal.load() == [row(1), row(2)]


def test_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_MAX", 2)
    with Journal(path) as journal:
        for npid in (1, 2, 3):
            journal.save(row(npid))
        with pytest.raises(JournalError, match="more than 2 jobs"):
            journal.commit()
        journal.forget(1)
        journal.commit()
        assert journal.load() == [row(2), row(3)]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="unable to open"):
        Journal(tmp_path / "nowhere" / "journal.sqlite")


def test_folder_in_its_place(path: Path) -> None:
    path.mkdir()
    with pytest.raises(JournalError, match="unable to open"):
        Journal(path)


def open_files() -> set[str]:
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor that lists them
            found.add(str(fd.readlink()))
    return found


def test_open_files_sees_an_open_journal(path: Path) -> None:
    with Journal(path) as journal:
        journal.save(row(1))
        assert str(path) in open_files()
    assert str(path) not in open_files()
