"""Input and output of jobs: nothing lost, doubled, reordered or mixed; memory stays bounded."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .cluster import Cluster, ended, finish, guests_of, programs_of, read_line, read_until, until

MIB = 1024 * 1024
PATTERN = """
import hashlib, random, sys
rng, left, h = random.Random(7), int(sys.argv[1]), hashlib.sha256()
while left:
    piece = rng.randbytes(min(left, rng.randrange(1, 300_000)))
    left -= len(piece); h.update(piece); sys.stdout.buffer.write(piece)
sys.stdout.flush(); sys.stderr.write(h.hexdigest())
"""


def test_stdout_and_stderr_apart(shared: Cluster, tmp_path: Path) -> None:
    line = f"glurun sh -c 'echo one; echo two >&2; exit 4' >{tmp_path}/out 2>{tmp_path}/err"
    assert shared.shell(line).status == 4
    assert (tmp_path / "out").read_text() == "one\n"
    assert (tmp_path / "err").read_text() == "two\n"


def test_order_within_each_stream(shared: Cluster) -> None:
    script = "for i in $(seq 2000); do echo $i; echo $i >&2; done"
    result = shared.glurun("sh", "-c", script)
    expected = "".join(f"{i}\n" for i in range(1, 2001)).encode()
    assert result.out == expected
    assert result.err == expected


def test_pipeline(shared: Cluster) -> None:
    line = "glurun seq 10000 | glurun sort -rn | glurun tail -3; echo ${PIPESTATUS[*]}"
    native = shared.shell(line.replace("glurun ", ""))
    result = shared.shell(line)
    assert result.out == native.out
    assert result.err == b""


def test_files(shared: Cluster, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(bytes(range(256)) * 100)
    words = ["-i", "in", "-o", "out", "-e", "err", "sh", "-c", "tee /dev/stderr"]
    result = shared.glurun(*words, cwd=tmp_path)
    assert (result.status, result.out, result.err) == (0, b"", b"")
    for name in ("out", "err"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "in").read_bytes()


def test_labels(shared: Cluster) -> None:
    result = shared.glurun("-n", "3", "-l", "sh", "-c", "echo a; echo b; printf end; echo x >&2")
    for vnn in range(3):
        mine = [line for line in result.text.splitlines() if line.startswith(f"{vnn}: ")]
        assert mine == [f"{vnn}: a", f"{vnn}: b", f"{vnn}: end"]
    assert sorted(result.complaint.splitlines()) == ["0: x", "1: x", "2: x"]
    result = shared.glurun("-n", "2", "--label=host", "-w", "node2,node3", "echo", "hi")
    assert sorted(result.text.splitlines()) == ["node2: hi", "node3: hi"]


def test_labelled_lines_are_whole(shared: Cluster) -> None:
    script = "for i in $(seq 300); do printf %s $GLUNIX_VNN; printf '%050d\\n' $i; done"
    result = shared.glurun("-n", "4", "-l", "sh", "-c", script)
    lines = result.text.splitlines()
    assert len(lines) == 1200
    for vnn in range(4):
        mine = [line for line in lines if line.startswith(f"{vnn}: ")]
        assert mine == [f"{vnn}: {vnn}{i:050d}" for i in range(1, 301)]


def test_input_is_replicated(shared: Cluster) -> None:
    data = os.urandom(3 * MIB)
    result = shared.glurun("-n", "5", "sh", "-c", "sha256sum", stdin=data, timeout=40)
    assert result.text.splitlines() == [f"{hashlib.sha256(data).hexdigest()}  -"] * 5


def test_input_when_one_does_not_read(shared: Cluster) -> None:
    """A process that ended early must not hold the others' input back."""
    data = os.urandom(4 * MIB)
    script = "test $GLUNIX_VNN = 0 || sha256sum"
    result = shared.glurun("-n", "4", "sh", "-c", script, stdin=data, timeout=40)
    assert result.text.splitlines() == [f"{hashlib.sha256(data).hexdigest()}  -"] * 3


def test_input_is_not_read_by_a_job_that_is_over(shared: Cluster) -> None:
    """Unread input beyond what was in flight stays with the shell that owns the pipe."""
    line = "seq 1000000 | { glurun true; tail -1; }"
    assert shared.shell(line).text == "1000000"


@pytest.mark.slow
def test_bulk_both_ways(shared: Cluster) -> None:
    """200 MiB of random pieces through `glurun cat`, compared by hash."""
    size = 200 * MIB
    source = [sys.executable, "-c", PATTERN, str(size)]
    with (
        ended(subprocess.Popen(source, stdout=subprocess.PIPE, stderr=subprocess.PIPE)) as made,
        ended(shared.start("glurun", "cat", stdin=made.stdout.fileno())) as job,  # type: ignore[union-attr]
    ):
        assert made.stdout is not None and made.stderr is not None and job.stdout is not None
        made.stdout.close()
        seen, count = hashlib.sha256(), 0
        while piece := job.stdout.read1(MIB):  # type: ignore[attr-defined]
            seen.update(piece)
            count += len(piece)
        assert count == size
        assert job.wait(20) == 0
        assert made.stderr.read().decode() == seen.hexdigest()


def test_all_bytes_both_ways(shared: Cluster) -> None:
    data = bytes(range(256)) * 1000 + b"\x04\x03\x1a\xff\x00"
    assert shared.glurun("cat", stdin=data).out == data
    assert shared.glurun("cat", stdin=b"").out == b""


def _memory(cluster: Cluster) -> dict[str, int]:
    return {name: member.rss() for name, member in cluster.members().items()}


def test_stopped_reader_stops_the_writer(shared: Cluster) -> None:
    """`glurun yes | sleep`: nobody on the way piles it up."""
    before = _memory(shared)
    with ended(shared.start("glurun", "-w", "node1", "yes", "x" * 1000)) as job:
        node = shared.members()["node1"]
        until(lambda: programs_of(node), "yes runs")
        (pid,) = programs_of(node)

        def written() -> int:
            text = Path(f"/proc/{pid}/io").read_text()
            return int(next(line.split()[1] for line in text.splitlines() if "wchar" in line))

        last = [-1, 0.0]

        def settled() -> bool:
            now = written()
            if now != last[0]:
                last[:] = [now, time.monotonic()]
            return now > 0 and time.monotonic() - last[1] > 1.0

        until(settled, "yes is blocked")
        assert written() < 16 * MIB
        for name, size in _memory(shared).items():
            assert size - before[name] < 24 * MIB, f"{name} grew by {size - before[name]}"
        startup = int(
            next(
                line.split()[1]
                for line in Path(f"/proc/{job.pid}/status").read_text().splitlines()
                if line.startswith("VmRSS")
            )
        )
        assert startup < 64 * 1024


def test_unread_input_stops_the_writer(shared: Cluster) -> None:
    """`yes | glurun sleep`: the same the other way."""
    before = _memory(shared)
    line = "yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx | glurun -n 2 sleep 2"
    with ended(shared.start("bash", "-c", line)) as job:
        most = dict(before)
        while job.poll() is None:
            for name, size in _memory(shared).items():
                most[name] = max(most[name], size)
            time.sleep(0.1)
    for name, size in most.items():
        assert size - before[name] < 24 * MIB, f"{name} grew by {size - before[name]}"


def test_reader_leaves(shared: Cluster) -> None:
    began = time.monotonic()
    result = shared.shell("glurun yes | head -1; echo ${PIPESTATUS[*]}")
    native = shared.shell("yes | head -1; echo ${PIPESTATUS[*]}")
    assert result.out == native.out == b"y\n141 0\n"
    assert result.err == b""
    assert time.monotonic() - began < 5


def test_reader_leaves_n_way(shared: Cluster) -> None:
    result = shared.shell("glurun -n 4 yes | head -1; echo ${PIPESTATUS[*]}")
    assert (result.out, result.err) == (b"y\n141 0\n", b"")


def test_only_one_stream_has_no_reader(shared: Cluster) -> None:
    script = "trap '' PIPE; while echo out 2>/dev/null; do :; done; echo no reader >&2; exit 9"
    result = shared.shell(f'glurun sh -c "{script}" | head -1; echo ${{PIPESTATUS[*]}}')
    assert result.out == b"out\n9 0\n"
    assert result.complaint == "no reader"


@pytest.mark.parametrize(
    "command",
    ["seq 9", "seq 100000", "seq 1000000", "sh -c 'seq 100000; sleep 0.1; seq 9; exit 3'"],
)
def test_full_device(shared: Cluster, command: str) -> None:
    """One status, however far the program came before it was told."""
    for _ in range(8):
        result = shared.shell(f"glurun {command} >/dev/full")
        assert (result.status, result.complaint) == (
            125,
            "glurun: cannot write output: No space left on device",
        )


def test_full_device_at_the_interposed_level(shared: Cluster) -> None:
    """The program is told, as at home."""
    for command in ("seq 9", "seq 100000"):
        native = shared.shell(f"{command} >/dev/full")
        assert native.status == 1
        result = shared.shell(f"glurun -T {command} >/dev/full")
        assert (result.status, result.err) == (native.status, native.err)


def test_full_device_and_a_parallel_job(shared: Cluster) -> None:
    result = shared.shell("glurun -n 2 seq 1000000 >/dev/full")
    assert result.status == 125
    assert result.complaint.startswith("glurun: cannot write output: No space left on device")
    assert result.err.count(b"\n") == 1


@pytest.mark.parametrize("redirection", ["<&-", "</dev/null"])
def test_no_input(shared: Cluster, redirection: str) -> None:
    native = shared.shell(f"sh -c 'wc -c; exit 3' {redirection}")
    result = shared.shell(f"glurun sh -c 'wc -c; exit 3' {redirection}")
    assert (result.status, result.out, result.err) == (native.status, native.out, native.err)
    assert (result.status, result.text) == (3, "0")


def test_closed_output(shared: Cluster) -> None:
    """A program that writes where the user has closed fails; nothing else is harmed."""
    result = shared.shell("glurun sh -c 'echo lost; echo kept >&2; exit 3' >&-")
    assert result.err.endswith(b"kept\n")
    assert result.status == 3
    result = shared.shell("glurun sh -c 'echo kept; echo lost >&2; exit 4' 2>&-")
    assert (result.out, result.status) == (b"kept\n", 4)
    result = shared.shell("glurun sh -c 'sleep 0.2; exit 5' <&- >&- 2>&-")
    assert result.status == 5


def test_closed_descriptors_are_not_reused(shared: Cluster, tmp_path: Path) -> None:
    """With 0-2 closed, sockets and files of glurun itself must not take their place."""
    line = f"glurun -o {tmp_path}/out sh -c 'cat; echo done' <&- >&- 2>&-"
    assert shared.shell(line).status == 0
    assert (tmp_path / "out").read_text() == "done\n"


def test_background_job_reads_what_is_given(shared: Cluster) -> None:
    result = shared.shell("glurun cat </etc/passwd & wait $!")
    assert result.out == Path("/etc/passwd").read_bytes()


def test_input_comes_in_pieces(shared: Cluster) -> None:
    """What the program says is there at once, and what it is told arrives at once."""
    script = 'while read x; do echo "got $x"; done; echo over'
    with ended(shared.start("glurun", "sh", "-c", script, stdin=subprocess.PIPE)) as job:
        assert job.stdin is not None
        for word in ("one", "two", "three"):
            job.stdin.write(f"{word}\n".encode())
            job.stdin.flush()
            assert read_line(job) == f"got {word}"
        job.stdin.close()
        assert read_line(job) == "over"
        assert job.wait(10) == 0


def test_unfinished_line_is_shown(shared: Cluster) -> None:
    with ended(shared.start("glurun", "sh", "-c", "printf 'name? '; read x; echo $x",
                            stdin=subprocess.PIPE)) as job:  # fmt: skip
        assert read_until(job, b"? ") == b"name? "
        assert finish(job, b"me\n").out == b"me\n"


def test_other_jobs_input_ends(shared: Cluster) -> None:
    """The end of one job's input is seen even while other jobs were started meanwhile."""
    with ended(shared.start("glurun", "-w", "node1", "cat", stdin=subprocess.PIPE)) as first:
        node = shared.members()["node1"]
        until(lambda: len(programs_of(node)) == 1, "cat runs")
        tty, slave = os.openpty()
        command = ["glurun", "-w", "node1", "sleep", "1000"]
        try:
            with ended(shared.start(*command, stdin=slave, stdout=slave, stderr=slave)) as second:
                until(lambda: len(guests_of(node)) >= 3, "keeper and sleep run")
                assert finish(first, b"through").out == b"through"
                second.send_signal(signal.SIGTERM)
                assert second.wait(10) == 143
        finally:
            os.close(tty)
            os.close(slave)


def test_signals_while_only_output_is_left(shared: Cluster) -> None:
    """The program has ended, the reader does not read: ^C must still end glurun."""
    with ended(shared.start("glurun", "-w", "node2", "head", "-c", "1000000", "/dev/zero")) as job:
        node = shared.members()["node2"]
        assert job.stdout is not None
        job.stdout.read(1)
        until(lambda: not guests_of(node), "head has ended")
        # Again until home has heard of that end, too: before, the signal is for head.
        until(lambda: job.send_signal(signal.SIGTERM) or job.poll() is not None, "its end")
        assert job.wait(5) == -signal.SIGTERM
