"""Pre-copied images: every page is the one that was there at the freeze, whatever was written."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from migration import image, observe
from migration.native.dirty import Tracker, Way, best_way
from migration.native.frozen import freeze
from migration.native.precopy import Precopy, Round, enough
from migration.native.restore import restore

from .guestrun import Running, running

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: process ids are chosen")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("dirty") / "dirty")
    try:
        subprocess.run(["gcc", "-O2", "-o", path, str(observe.GUEST)], check=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("gcc is missing")
    return path


@pytest.fixture
def way() -> Way:
    found = best_way()
    if found is Way.NONE:
        pytest.skip("this kernel has neither WP_ASYNC nor soft-dirty bits")
    return found


def in_a_child(work: object) -> None:
    """A mover is a process of its own: it is the tracer, and its alarm is taken."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()  # type: ignore[operator]
            status = 0
        except BaseException as error:
            print(f"MOVER {type(error).__name__}: {error}", file=sys.__stderr__, flush=True)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def ask(guest: Running, pid: int, lines: int) -> str:
    os.kill(pid, signal.SIGUSR1)
    guest.await_text("\n" if lines == 0 else "bad")
    end = time.monotonic() + 20
    while guest.output.count("bad") < lines:
        assert time.monotonic() < end, guest.output
        time.sleep(0.005)
    return guest.output.splitlines()[-1]


@pytest.mark.parametrize("rate", ["0", "30", "400"])
def test_what_is_restored_is_what_was_frozen(
    program: str, tmp_path: Path, rate: str, way: Way
) -> None:
    with running([program, "16", rate], tmp_path) as guest:
        guest.await_ready()
        folder = str(tmp_path / "image")

        def work() -> None:
            image.make_folder(folder)
            with Precopy(guest.process.pid, folder, way) as before:
                rounds = before.run()
                assert rounds[0].copied >= 16 << 20
                with freeze(guest.process.pid, 20.0, armed=before.armed) as frozen:
                    frozen.dump(folder, before)
                    frozen.leave()
                    frozen.commit()
            with restore(folder, {}) as restored:
                restored.go()
                assert ask(guest, restored.root, 1).endswith("bad 0")

        in_a_child(work)


def test_the_source_goes_on_afterwards(program: str, tmp_path: Path, way: Way) -> None:
    with running([program, "8", "50"], tmp_path) as guest:
        guest.await_ready()

        def work() -> None:
            folder = str(tmp_path / "image")
            image.make_folder(folder)
            with Precopy(guest.process.pid, folder, way) as before:
                before.run()
                with freeze(guest.process.pid, 20.0, armed=before.armed) as frozen:
                    frozen.dump(folder, before)

        in_a_child(work)
        assert ask(guest, guest.process.pid, 1).endswith("bad 0")


def test_what_is_unmapped_or_given_back_meanwhile_is_not_in_the_image(
    tmp_path: Path, way: Way
) -> None:
    """A page that was copied and then dropped is zeroes; its old bytes must not come back."""
    source = tmp_path / "drops.c"
    source.write_text(
        """
        #include <stdio.h>
        #include <string.h>
        #include <sys/mman.h>
        #include <unistd.h>
        #include <signal.h>
        #include <stdlib.h>
        static void *map(void *at, size_t n, int more)
        {
            return mmap(at, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | more, -1, 0);
        }
        static volatile sig_atomic_t asked;
        static void ask(int s) { asked += s == SIGUSR1; }
        int main(void)
        {
            char *m = map(0, 64 * 4096, 0);
            struct sigaction sa = {.sa_handler = ask};
            sigaction(SIGUSR1, &sa, 0);
            memset(m, 'o', 64 * 4096);
            printf("READY 0\\n"); fflush(stdout);
            while (asked < 1) usleep(1000);
            madvise(m, 8 * 4096, MADV_DONTNEED);
            munmap(m + 8 * 4096, 8 * 4096);
            map(m + 16 * 4096, 8 * 4096, MAP_FIXED);
            m[16 * 4096] = 'n';
            memset(m + 32 * 4096, 0, 4096);
            printf("READY 1\\n"); fflush(stdout);
            while (asked < 2) usleep(1000);
            int bad = 0;
            for (int i = 0; i < 8 * 4096; i++) bad += m[i] != 0;
            for (int i = 16 * 4096; i < 24 * 4096; i++) bad += m[i] != (i == 16 * 4096 ? 'n' : 0);
            for (int i = 24 * 4096; i < 64 * 4096; i++)
                bad += m[i] != (i / 4096 == 32 ? 0 : 'o');
            printf(bad ? "FAIL %d\\n" : "PASS\\n", bad); fflush(stdout);
            return bad != 0;
        }
        """
    )
    subprocess.run(["gcc", "-o", "drops", "drops.c"], cwd=tmp_path, check=True, timeout=60)
    with running([str(tmp_path / "drops")], tmp_path) as guest:
        guest.await_ready()

        def work() -> None:
            folder = str(tmp_path / "image")
            image.make_folder(folder)
            with Precopy(guest.process.pid, folder, way) as before:
                before.round()
                os.kill(guest.process.pid, signal.SIGUSR1)
                guest.await_text("READY 1\n")
                with freeze(guest.process.pid, 20.0, armed=before.armed) as frozen:
                    frozen.dump(folder, before)
                    frozen.leave()
                    frozen.commit()
            with restore(folder, {}) as restored:
                restored.go()
                os.kill(restored.root, signal.SIGUSR1)
                guest.await_text("PASS\n")

        in_a_child(work)


def test_a_trace_sees_what_is_written(program: str, tmp_path: Path, way: Way) -> None:
    """About the rate it was told, at any load: at least a page, and never more than there is."""
    with running([program, "4", "20"], tmp_path) as guest:
        guest.await_ready()
        with Tracker(guest.process.pid, way) as tracker:
            observe.sample(tracker)
            end = time.monotonic() + 20
            written = 0
            while written < 64 << 10 and time.monotonic() < end:
                time.sleep(0.02)
                found, present = observe.sample(tracker)
                written += found
                assert found <= present
                assert present >= 4 << 20
        assert written >= 64 << 10


def test_rounds_end() -> None:
    """The rule: little is left, or it does not shrink, or there were eight."""
    fast = 1 << 30
    assert not enough([])
    assert not enough([Round(1 << 30, 1.0)])
    assert enough([Round(1 << 30, 1.0), Round(fast // 60, 0.02)])
    assert not enough([Round(1 << 30, 1.0), Round(1 << 29, 0.5)])
    assert enough([Round(1 << 30, 1.0), Round(1000 << 20, 1.0)])
    assert enough([Round((1 << 40) >> i, 1.0) for i in range(8)])


def test_rows_as_csv_and_json() -> None:
    rows = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    for as_json in (False, True):
        out = io.StringIO()
        observe.write_rows(rows, as_json, out)
        if as_json:
            assert json.loads(out.getvalue()) == rows
        else:
            assert out.getvalue() == "a,b\n1,x\n2,y\n"
