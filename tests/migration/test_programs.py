"""Real programs, moved while they work; an ordinary user's; the mover's own death; the commands."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from migration.cli import main as command
from migration.native import trace
from migration.native.frozen import freeze

from .guestrun import compiled, running
from .mover import Mover, Refusal, mover

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: process ids are chosen")
ROOT = Path(__file__).resolve().parents[2]


def move_patiently(moving: Mover) -> None:
    """A vfork under way passes."""
    for _ in range(200):
        try:
            moving.move()
            return
        except Refusal as refused:
            if not all("(may pass)" in line for line in str(refused).splitlines()):
                raise
            time.sleep(0.005)
    raise AssertionError("there was always a reason to stay")


def test_a_shells_pipeline_loses_nothing(tmp_path: Path) -> None:
    script = (
        "(i=0; while [ $i -lt 120 ]; do echo line $i; i=$((i+1)); sleep 0.01; done)"
        " | cat | sort -n -k 2 | (sum=0; while read a b; do sum=$((sum+b)); done; echo sum $sum)"
        "; echo end $$"
    )
    with running(["/bin/sh", "-c", script], tmp_path) as program, mover(program.process.pid) as m:
        own = program.process.pid
        for _ in range(3):
            time.sleep(0.1)
            move_patiently(m)
        assert m.end() == "0"
        assert program.output == f"sum {sum(range(120))}\nend {own}\n"


def test_a_compiler_makes_the_same_object(tmp_path: Path) -> None:
    source = tmp_path / "made.c"
    lines = [
        f"int f{i}(int x) {{ return x * {i} + (x >> {i % 7}) ^ {i * 31}; }}" for i in range(500)
    ]
    source.write_text("\n".join(lines))
    words = ["gcc", "-O1", "-c", "made.c", "-o"]
    try:
        subprocess.run([*words, "native.o"], cwd=tmp_path, check=True, timeout=120)
    except FileNotFoundError:
        pytest.skip("gcc is missing")
    with running([*words, "moved.o"], tmp_path) as program, mover(program.process.pid) as m:
        for _ in range(2):
            time.sleep(0.05)
            try:
                move_patiently(m)
            except (Refusal, AssertionError) as error:
                if "ended" in str(error):
                    pytest.skip("it was quicker than the move")
                raise
        assert m.end() == "0", program.output
        native, moved = (tmp_path / name for name in ("native.o", "moved.o"))
        assert native.read_bytes() == moved.read_bytes()


PYTHON = """
import hashlib, os, random, threading, sys, time
random.seed(5)
total = hashlib.sha256()
store = {}
def work(n):
    for i in range(600):
        store[n, i] = os.urandom(10) and bytes([n, i % 256]) * (i + 1)
        time.sleep(0.001)
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
with open("data", "w+b") as file:
    for key in sorted(store): file.write(store[key])
    file.seek(0)
    for piece in iter(lambda: file.read(1000), b""):
        total.update(piece); time.sleep(0.0005)
print(total.hexdigest(), os.getpid())
"""


def test_python_with_threads_computes_the_same(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PYTHON)
    expected = hashlib.sha256()
    for n in range(4):
        for i in range(600):
            expected.update(bytes([n, i % 256]) * (i + 1))
    chance = random.Random(os.urandom(4))
    words = [sys.executable, "-S", "-u", str(script)]
    with running(words, tmp_path) as program, mover(program.process.pid) as m:
        own = program.process.pid
        for _ in range(4):
            time.sleep(chance.uniform(0.01, 0.1))
            m.move()
        assert m.end() == "0", program.output
        assert program.output == f"{expected.hexdigest()} {own}\n"


def test_an_ordinary_users_program_stays_that_users(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for above in list(tmp_path.parents)[:3]:
        above.chmod(above.stat().st_mode | 0o011)
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 20007, 20007)
    script = (
        "cd home && exec 5>>mine && while [ ! -e go ]; do sleep 0.02; done;"
        " echo written >&5; id -u; cat /etc/shadow 2>/dev/null; exit 4"
    )
    words = [
        "setpriv",
        "--reuid",
        "20007",
        "--regid",
        "20007",
        "--clear-groups",
        "sh",
        "-c",
        script,
    ]
    with running(words, tmp_path) as program, mover(program.process.pid) as m:
        (tmp_path / "output").chmod(0o666)  # it is opened again by that user
        mine = home / "mine"
        while not mine.exists():
            program.await_text("")
            time.sleep(0.005)
        move_patiently(m)
        status = Path(f"/proc/{m.pid}/status").read_text()
        assert "Uid:\t20007\t20007\t20007\t20007" in status
        assert "CapEff:\t0000000000000000" in status
        (home / "go").touch()
        assert m.end() == "4"
        assert program.output == "20007\n"
        assert mine.read_text() == "written\n"
        assert mine.stat().st_uid == 20007


def frozen_in_a_child(pid: int, leave: bool) -> int:
    """A mover that freezes the job and then waits to be killed; its pid."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            job = freeze(pid, 20.0)
            if leave:
                job.leave()
            os.write(writing, b"+")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 1) == b"+"
    os.close(reading)
    return child


def test_a_movers_death_lets_the_job_go_on_before_it_left(tmp_path: Path) -> None:
    words = [str(compiled("pipe_waiting")), str(tmp_path / "gate")]
    with running(words, tmp_path) as guest:
        guest.await_ready()
        child = frozen_in_a_child(guest.process.pid, leave=False)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        guest.open_gate()
        guest.await_text("PASS\n")


def test_a_movers_death_ends_the_job_after_it_left(tmp_path: Path) -> None:
    words = [str(compiled("memory_private")), str(tmp_path / "gate")]
    with running(words, tmp_path) as guest:
        guest.await_ready()
        child = frozen_in_a_child(guest.process.pid, leave=True)
        assert guest.process.poll() is None
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert guest.process.wait(20) == -signal.SIGKILL


def test_freezing_has_a_deadline(tmp_path: Path) -> None:
    """A vfork parent is in D until its child executes: nothing stops it (ptrace(2))."""
    program = tmp_path / "v.c"
    program.write_text(
        "#include <unistd.h>\n#include <stdio.h>\n"
        'int main(void) { printf("READY 0\\n"); fflush(stdout);'
        " if (!vfork()) { sleep(60); _exit(0); } return 0; }\n"
    )
    subprocess.run(["gcc", "-o", "v", "v.c"], cwd=tmp_path, check=True, timeout=60)
    with running([str(tmp_path / "v")], tmp_path) as guest:
        guest.await_ready()
        time.sleep(0.05)
        began = time.monotonic()
        with pytest.raises(trace.Late):
            freeze(guest.process.pid, 0.5)
        assert time.monotonic() - began < 20
        assert guest.process.poll() is None


def test_commands(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """explain, dump --keep-running, restore; what is wrong is one line and a status."""
    words = [str(compiled("memory_memfd")), str(tmp_path / "gate")]
    folder = str(tmp_path / "image")
    with running(words, tmp_path) as guest:
        guest.await_ready()
        pid = str(guest.process.pid)
        assert command(["explain", pid]) == 0
        assert command(["dump", "--keep-running", pid, folder]) == 0
        assert guest.process.poll() is None
        assert command(["dump", pid, folder]) == 2
        assert "File exists" in capfd.readouterr().err
        guest.open_gate()
        guest.await_text("PASS\n")
    assert command(["explain", "999999999"]) == 2
    assert command(["restore", str(tmp_path / "none")]) == 2
    assert "No such file" in capfd.readouterr().err
    run = [sys.executable, "-m", "migration", "restore", folder]
    assert subprocess.run(run, cwd=ROOT, timeout=60, stdin=subprocess.DEVNULL).returncode == 0


def migration(*words: str) -> list[str]:
    return [sys.executable, "-m", "migration", *words]


def test_standard_output_that_led_outside_is_the_restorers(tmp_path: Path) -> None:
    """Natively a pipe to somebody else stays; with --stdio it is given anew."""
    script = f"echo before; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo after; exit 5"
    with subprocess.Popen(
        ["/bin/sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as source:
        assert source.stdout is not None and source.stdout.readline() == b"before\n"
        pid, folder = str(source.pid), str(tmp_path / "image")
        stays = subprocess.run(migration("dump", pid, folder), cwd=ROOT, capture_output=True)
        assert stays.returncode == 1 and b"leads out of the job" in stays.stderr
        for _ in range(50):  # between two of its children it may be in a vfork
            made = subprocess.run(migration("dump", "--stdio", pid, folder), cwd=ROOT, timeout=60)
            if made.returncode == 0:
                break
        assert source.wait(20) == -signal.SIGKILL
    restorer = subprocess.Popen(migration("restore", folder), cwd=ROOT, stdout=subprocess.PIPE)
    (tmp_path / "go").touch()
    out, _ = restorer.communicate(timeout=60)
    assert (out, restorer.returncode) == (b"after\n", 5)


def test_a_job_outlives_a_mover_that_is_told_so(tmp_path: Path) -> None:
    words = [str(compiled("memory_heap")), str(tmp_path / "gate")]
    with running(words, tmp_path) as guest:
        guest.await_ready()
        run = migration("move", "--detach", str(guest.process.pid))
        done = subprocess.run(run, cwd=ROOT, timeout=60, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        guest.open_gate()
        guest.await_text("PASS\n")
        pid = int(done.stderr.split()[-1])
        end = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < end, f"process {pid} is still there"
            time.sleep(0.01)


def test_a_users_image_is_restored_with_the_users_rights(tmp_path: Path) -> None:
    """Root restores what is uid 20008's as that user, or, if it asks for more, not at all."""
    words = [str(compiled("memory_private")), str(tmp_path / "gate")]
    with running(words, tmp_path) as guest:
        guest.await_ready()
        folder = str(tmp_path / "image")
        run = migration("dump", str(guest.process.pid), folder)
        assert subprocess.run(run, cwd=ROOT, timeout=60).returncode == 0
    for name in (folder, f"{folder}/job", f"{folder}/pages"):
        os.chown(name, 20008, 20008)
    refused = subprocess.run(migration("restore", folder), cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "asks for another uid than the image's owner 20008" in refused.stderr
