"""glubatch with real processes: output, arrays, dependencies, retries, users, restarts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import (
    TESTED_USER,
    Cluster,
    alive,
    ended,
    finish,
    read_line,
    until,
    users_own,
)

LONG = bool(os.environ.get("GLUNIX_LONG"))
A_USER = 20023
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root's cluster")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return users_own(tmp_path)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that every user can reach and write."""
    folder = Path(tempfile.mkdtemp(prefix="glunix-batch-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def batch(cluster: Cluster, place: Path, *words: str, **how: object) -> int:
    result = cluster.run("glubatch", *words, cwd=place, **how)  # type: ignore[arg-type]
    assert result.status == 0, result
    return int(result.text)


def wait(cluster: Cluster, npid: int) -> int:
    return cluster.run("glups", "-w", str(npid), timeout=60).status


def test_output_goes_to_a_file_of_the_user(shared: Cluster, place: Path) -> None:
    script = "umask 22; echo out; echo err >&2; pwd; umask; exit 3"
    npid = batch(shared, place, "sh", "-c", script)
    assert wait(shared, npid) == 3
    file = place / f"glubatch-{npid}.out"
    assert sorted(file.read_text().splitlines()) == sorted([str(place), "0022", "err", "out"])
    assert file.stat().st_uid == TESTED_USER


def test_files_have_names_by_pattern_and_by_process(shared: Cluster, place: Path) -> None:
    script = "echo $GLUNIX_VNN; echo e >&2"
    words = ["-n", "2", "-J", "pair", "-o", "o-%x-%v-%%", "-e", "all.err", "sh", "-c", script]
    npid = batch(shared, place, *words)
    assert wait(shared, npid) == 0
    assert (place / "o-pair-0-%").read_text() == "0\n"
    assert (place / "o-pair-1-%").read_text() == "1\n"
    assert (place / "all.err").read_text() == "e\ne\n"


def test_an_array_runs_each_index_once(shared: Cluster, place: Path) -> None:
    script = "echo $GLUNIX_ARRAY_INDEX $GLUNIX_ARRAY_NPID >> seen"
    npid = batch(shared, place, "--array", "1-9:2%2", "-o", "", "sh", "-c", script)
    assert wait(shared, npid) == 0
    lines = sorted((place / "seen").read_text().splitlines())
    assert lines == [f"{index} {npid}" for index in (1, 3, 5, 7, 9)]


def test_one_comes_after_the_other_and_failures_run_again(shared: Cluster, place: Path) -> None:
    script = "echo run >> runs; [ $(wc -l < runs) = 3 ]"
    first = batch(shared, place, "--retry", "5", "-o", "", "sh", "-c", script)
    second = batch(shared, place, "--after", str(first), "-o", "n", "sh", "-c", "wc -l < runs")
    assert wait(shared, second) == 0
    assert (place / "n").read_text() == "3\n"


def test_held_released_and_removed(shared: Cluster, place: Path) -> None:
    held = batch(shared, place, "--held", "-o", "x", "echo", "hello")
    assert "held" in shared.run("glups", "--why", str(held)).text
    row = next(row for row in shared.jobs() if row["npid"] == held)
    assert row["state"] == "held" and row["place"] == 1
    assert shared.run("glubatch", "--release", str(held)).status == 0
    assert wait(shared, held) == 0 and (place / "x").read_text() == "hello\n"
    other = batch(shared, place, "--held", "true")
    assert shared.run("glukill", str(other)).status == 0
    assert wait(shared, other) == 143
    assert shared.run("glubatch", "--hold", str(other)).status == 1


def test_a_job_for_each_line(shared: Cluster, place: Path) -> None:
    lines = b"# a comment\necho one > 1\n\necho two | tr a-z A-Z > 2; exit 4\n"
    result = shared.run("glubatch", "--from", "-", "-o", "", stdin=lines, cwd=place)
    assert result.status == 0, result
    first, second = map(int, result.text.split())
    assert (wait(shared, first), wait(shared, second)) == (0, 4)
    assert ((place / "1").read_text(), (place / "2").read_text()) == ("one\n", "TWO\n")


def test_attach_shows_output_as_it_comes(shared: Cluster, place: Path) -> None:
    fifo = place / "go"
    os.mkfifo(fifo)
    os.chown(fifo, TESTED_USER, -1)
    npid = batch(shared, place, "sh", "-c", "echo first; cat go; exit 5")
    with ended(shared.start("glubatch", "--attach", str(npid))) as process:
        assert read_line(process) == "first"
        fifo.write_text("second\n")
        result = finish(process)
    assert (result.status, result.out) == (5, b"second\n")


def test_output_without_a_place_is_said_and_nothing_runs(shared: Cluster, place: Path) -> None:
    for name, what in (("/nowhere/x", "No such file"), ("/dev/full", "not a regular file")):
        npid = batch(shared, place, "-o", name, "touch", "ran")
        assert wait(shared, npid) != 0
        [row] = [row for row in shared.jobs() if row["npid"] == npid]
        assert what in str(row["reason"]), row
    assert not (place / "ran").exists()


def test_a_time_limit(shared: Cluster, place: Path) -> None:
    npid = batch(shared, place, "-t", "0.3", "--retry", "3", "sleep", "60")
    assert wait(shared, npid) == 137
    [row] = [row for row in shared.jobs() if row["npid"] == npid]
    assert "time limit" in str(row["reason"])


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--array", "1-10000000", "true"], "elements"),
        (["--array", "5-1", "true"], "elements"),
        (["--after", "x", "true"], "NPIDs"),
        (["--after", "2000000000", "true"], "no such job"),
        (["-w", "nowhere", "true"], "no such node"),
        (["-n", "0", "true"], "degree"),
        (["-c", "0", "true"], "cpus"),
        (["-m", "much", "true"], "not a size"),
        (["-t", "soon", "true"], "not a time"),
        (["--retry", "-1", "true"], "retry"),
        (["--from", "/nonexistent"], "cannot read"),
        (["--hold", "1", "true"], "at a time"),
        ([], "which command"),
    ],
)
def test_mistakes_are_one_line(shared: Cluster, place: Path, words: list[str], what: str) -> None:
    result = shared.run("glubatch", *words, cwd=place)
    assert result.status in (1, 2) and result.out == b""
    assert what in result.complaint and "\n" not in result.complaint, result


def test_a_transparent_job_runs_in_the_queue(shared: Cluster, place: Path) -> None:
    npid = batch(shared, place, "-T", "-o", "t", "hostname")
    assert wait(shared, npid) == 0
    assert (place / "t").read_text().strip() == os.uname().nodename


@needs_root
def test_another_users_job_is_not_ones_own(shared: Cluster, open_place: Path) -> None:
    npid = batch(shared, open_place, "--held", "-o", "mine-%j", "id", "-u", uid=A_USER)
    other = 20024
    for words in (["glukill", str(npid)], ["glubatch", "--release", str(npid)]):
        result = shared.run(*words, uid=other)
        assert result.status == 1 and "belongs to" in result.complaint, result
    told = shared.run("glubatch", "--attach", str(npid), uid=other)
    assert told.status == 1 and "no batch job of yours" in told.complaint
    assert shared.run("glubatch", "--release", str(npid), uid=A_USER).status == 0
    assert wait(shared, npid) == 0
    file = open_place / f"mine-{npid}"
    assert file.read_text() == f"{A_USER}\n" and file.stat().st_uid == A_USER


@needs_root
def test_files_that_only_root_may_write_are_not_written(shared: Cluster, open_place: Path) -> None:
    secret = open_place / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    os.chown(secret, 0, 0)
    npid = batch(shared, open_place, "-o", str(secret), "echo", "taken", uid=A_USER)
    assert wait(shared, npid) != 0
    assert secret.read_text() == "root's"


def test_the_queue_survives_the_cluster(own: Cluster, place: Path) -> None:
    own.up(1)
    npid = batch(own, place, "--held", "-o", "late", "echo", "still here")
    own.down()
    own.up(1)
    assert own.run("glubatch", "--release", str(npid)).status == 0
    assert wait(own, npid) == 0
    assert (place / "late").read_text() == "still here\n"


def test_a_changed_task_is_not_run(own: Cluster, place: Path) -> None:
    """A master that lies about what was queued: its journal is written by hand."""
    own.up(1)
    npid = batch(own, place, "--held", "-o", "", "touch", "good")
    own.down()
    with sqlite3.connect(own.folder / "private" / "journal.sqlite") as journal:
        [(task,)] = journal.execute("SELECT task FROM queue")
        assert b"good" in task
        changed = task.replace(b"good", b"evil")
        assert journal.execute("UPDATE queue SET task = ?", (changed,)).rowcount == 1
    journal.close()
    own.up(1)
    assert own.run("glubatch", "--release", str(npid)).status == 0
    assert wait(own, npid) != 0
    [row] = [row for row in own.jobs() if row["npid"] == npid]
    assert "did not queue it" in str(row["reason"])
    assert not list(place.iterdir())


def test_a_master_that_is_killed_again_and_again(own: Cluster, place: Path) -> None:
    """Each job runs once, or is said to have been cut off (50 kills, 1,000 jobs when long)."""
    kills, count = (50, 1000) if LONG else (4, 60)
    own.up(2)
    line = "echo $GLUNIX_BATCH_NPID >> seen; sleep 0.02\n"
    result = own.run(
        "glubatch", "--from", "-", "-o", "", stdin=(line * count).encode(), cwd=place, timeout=60
    )
    assert result.status == 0, result
    npids = set(map(int, result.text.split()))
    assert len(npids) == count
    for _ in range(kills):
        time.sleep(0.05)  # the master works for a while: the moment of its death is the test
        master = own.members()["master"].pid
        os.kill(master, signal.SIGKILL)
        until(lambda pid=master: not alive(pid), "the master is gone")  # type: ignore[misc]
        own.up(2)
    end = time.monotonic() + 60 + count / 4
    left: list[dict[str, object]] = [{}]
    while left:
        assert time.monotonic() < end, left[:3]
        told = own.run("glups", "--json")
        left = json.loads(told.out) if told.status == 0 else [{}]
        time.sleep(0.2)
    seen = Counter(map(int, (place / "seen").read_text().split()))
    assert max(seen.values()) == 1, "a job ran twice"
    cut = {int(str(row["npid"])) for row in own.jobs() if row["state"] in ("killed", "lost")}
    assert npids - set(seen) <= cut, "a job was lost without a word"
