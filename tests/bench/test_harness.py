"""The bench's own arithmetic, tables and process handling; no peer and no cluster needed."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from . import __main__ as command
from . import bench_start, bench_stream, bench_wide, install
from .child import ForegroundDaemon
from .driver import Driver
from .harness import (
    MB_PER_SECOND,
    MILLISECONDS,
    NO_TARGET,
    PER_SECOND,
    Absent,
    BenchError,
    Breakdown,
    Judged,
    Row,
    Samples,
    Section,
    Target,
    alternate,
    medians_by_step,
    ratio_of,
)
from .measure import Plan, Stage
from .ours import REST, parse_steps
from .peers import Package, Unavailable, need
from .proc import carrying, describe, end_all, leftovers, marked, timed
from .report import as_json, figure, ratio_text, show, verdict, why


def ms(*values: float) -> Samples:
    return Samples(tuple(value / 1e3 for value in values), MILLISECONDS)


# -- arithmetic


def test_best_is_the_least_time_and_the_greatest_rate() -> None:
    assert ms(3, 1, 2).best == 0.001
    assert Samples((3.0, 1.0), PER_SECOND).best == 3.0


def test_no_samples_is_refused() -> None:
    with pytest.raises(ValueError):
        Samples((), MILLISECONDS)


def test_ratio_pairs_the_rounds() -> None:
    # Round by round ours takes half the time, although the machine slows down meanwhile.
    ratio = ratio_of(ms(1, 10, 100), ms(2, 20, 200))
    assert (ratio.low, ratio.median, ratio.high) == (0.5, 0.5, 0.5)
    assert ratio.of_bests == 0.5


def test_ratio_shows_its_spread() -> None:
    ratio = ratio_of(ms(1, 2, 3, 4, 5), ms(1, 1, 1, 1, 1))
    assert (ratio.low, ratio.median, ratio.high) == pytest.approx((2, 3, 4))


def test_one_round_has_no_spread() -> None:
    ratio = ratio_of(ms(3), ms(2))
    assert (ratio.low, ratio.median, ratio.high) == pytest.approx((1.5, 1.5, 1.5))


@pytest.mark.parametrize("peer", [ms(1, 2), Samples((1.0,), PER_SECOND)])
def test_ratio_of_unlike_samples_is_refused(peer: Samples) -> None:
    with pytest.raises(ValueError):
        ratio_of(ms(1), peer)


# -- verdicts


@pytest.mark.parametrize(
    ("ours", "peer", "target", "met"),
    [
        (ms(6), ms(10), Target(Judged.RATIO, 1.0), True),
        (ms(11), ms(10), Target(Judged.RATIO, 1.0), False),
        (ms(499), Absent("x"), Target(Judged.VALUE, 500), True),
        (ms(501), Absent("x"), Target(Judged.VALUE, 500), False),
        (ms(6), Absent("x"), Target(Judged.RATIO, 1.0), None),
        (Absent("x"), ms(6), Target(Judged.VALUE, 500), None),
        (ms(6), ms(1), NO_TARGET, None),
    ],
)
def test_met_for_times(
    ours: Samples | Absent, peer: Samples | Absent, target: Target, met: bool | None
) -> None:
    row = Row("r", ours, peer, MILLISECONDS, target)
    assert row.met is met
    assert row.fails_check is (target is not NO_TARGET and met is not True)


def test_met_for_rates_turns_the_sign() -> None:
    fast, slow = Samples((600.0,), PER_SECOND), Samples((400.0,), PER_SECOND)
    assert Row("r", fast, slow, PER_SECOND, Target(Judged.RATIO, 1.0)).met is True
    assert Row("r", slow, fast, PER_SECOND, Target(Judged.RATIO, 1.0)).met is False
    assert Row("r", slow, fast, PER_SECOND, Target(Judged.VALUE, 500)).met is False


def test_target_in_words() -> None:
    assert Target(Judged.RATIO, 1.0, "0.6x").describe(MILLISECONDS) == "≤ 1x (aim 0.6x)"
    assert Target(Judged.VALUE, 500).describe(PER_SECOND) == "≥ 500 /s"
    assert NO_TARGET.describe(PER_SECOND) == ""


# -- alternation


def recorder(log: list[str], name: str, fail_at: int = -1) -> Callable[[], float]:
    def contender() -> float:
        if log.count(name) == fail_at:
            raise BenchError("broke")
        log.append(name)
        return float(len(log))

    return contender


def test_contenders_take_turns_and_warm_up_is_not_counted() -> None:
    log: list[str] = []
    got = alternate({"a": recorder(log, "a"), "b": recorder(log, "b")}, 3, MILLISECONDS)
    assert "".join(log) == "abbaabba"
    assert got["a"] == Samples((4.0, 5.0, 8.0), MILLISECONDS)
    assert got["b"] == Samples((3.0, 6.0, 7.0), MILLISECONDS)


def test_a_failing_contender_is_told_and_the_others_go_on() -> None:
    log: list[str] = []
    got = alternate(
        {"a": recorder(log, "a", fail_at=2), "b": recorder(log, "b"), "c": Absent("missing: c")},
        3,
        MILLISECONDS,
    )
    assert got["a"] == Absent("failed: broke")
    assert isinstance(got["b"], Samples) and len(got["b"].values) == 3
    assert got["c"] == Absent("missing: c")
    assert list(got) == ["a", "b", "c"]


def test_a_bug_in_a_contender_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        alternate({"a": lambda: 1 / 0}, 1, MILLISECONDS)


def test_medians_by_step() -> None:
    runs = [[("a", 1.0), ("b", 5.0)], [("a", 3.0), ("b", 4.0)], [("a", 2.0), ("b", 9.0)]]
    assert medians_by_step(runs) == (("a", 2.0), ("b", 5.0))
    assert medians_by_step([]) == ()
    with pytest.raises(ValueError):
        medians_by_step([[("a", 1.0)], [("b", 1.0)]])


def test_parse_steps_takes_only_lines_with_a_number() -> None:
    text = "imports 0.004\r\nhello world\nplaced on 2 0.5\n7\nexited 1e-3\n"
    assert parse_steps(text) == (("imports", 0.004), ("placed on 2", 0.5), ("exited", 0.001))


# -- what is shown


SECTION = Section(
    "start [x]",
    (
        Row("a / b [1-64]", ms(6, 8), ms(10, 10), MILLISECONDS, Target(Judged.RATIO, 1.0)),
        Row("a / c", ms(6, 8), Absent("missing: c"), MILLISECONDS, Target(Judged.RATIO, 1.0)),
        Row("m", Samples((2e6,), MB_PER_SECOND), Absent("no d"), MB_PER_SECOND, NO_TARGET, "n"),
    ),
    (Breakdown("where", (("imports", 0.003), ("rest", 0.001))),),
    ("a note",),
    ("left running: 7",),
)


def test_cells() -> None:
    first, second, third = SECTION.rows
    assert figure(first.ours, first.unit) == "6.00 / 7.00 ms"
    assert figure(second.peer, second.unit) == "-"
    assert figure(third.ours, third.unit) == "2.00 / 2.00 MB/s"
    assert ratio_text(first) == "0.70x (0.65-0.75)"
    assert ratio_text(second) == ""
    assert [verdict(row) for row in SECTION.rows] == ["met", "not judged", ""]
    assert why(second) == "peer: missing: c"
    assert why(third) == "peer: no d; n"


def test_table_tells_everything() -> None:
    out = StringIO()
    show([SECTION], Console(file=out, width=120))
    text = out.getvalue()
    for told in ("a / b [1-64]", "a / c: peer: missing: c", "a note", "left running: 7", "75 %"):
        assert told in text
    assert "targets not met: a / c\n" in text


def test_json_has_the_same() -> None:
    (section,) = json.loads(as_json([SECTION]))
    first, second, _ = section["rows"]
    assert first["ours"]["samples"] == pytest.approx([6, 8])
    assert first["ratio"]["median"] == pytest.approx(0.7)
    assert first["met"] is True and first["target"] == "≤ 1x"
    assert second["peer"] == {"absent": "missing: c"} and second["ratio"] is None
    assert section["breakdowns"] == [
        {"title": "where", "seconds": {"imports": 0.003, "rest": 0.001}}
    ]
    assert section["complaints"] == ["left running: 7"]


# -- processes


def sh(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_timed_counts_output_and_keeps_stderr() -> None:
    done = timed(sh("printf 12345; echo oops >&2"), marked(), count_output=True)
    assert (done.bytes_out, done.stderr) == (5, "oops\n")
    assert 0 < done.seconds < 30


def test_timed_tells_status_and_last_words() -> None:
    with pytest.raises(BenchError, match="ended with 3: no such thing"):
        timed(sh("echo no such thing >&2; exit 3"), marked())
    with pytest.raises(BenchError, match="/no/such: No such file"):
        timed(["/no/such"], marked())


@pytest.mark.parametrize("count_output", [False, True])
def test_timed_ends_what_does_not_end(count_output: bool) -> None:
    with pytest.raises(BenchError, match=r"did not end within 0\.1 s"):
        timed(["/bin/sleep", "60"], marked(), deadline=0.1, count_output=count_output)
    assert leftovers() == []


def test_foreground_daemon_is_awaited_and_ended() -> None:
    with ForegroundDaemon(sh("echo warming; echo ready 7; exec sleep 60"), marked()) as daemon:
        assert daemon.wait_for("^ready") == "ready 7"
        (pid,) = leftovers()
        assert "sleep 60" in describe(pid)
    assert leftovers() == []


def test_foreground_daemon_that_ends_early_tells_its_log() -> None:
    with (
        ForegroundDaemon(sh("echo cannot bind; exit 1"), marked()) as daemon,
        pytest.raises(BenchError, match=r"sh ended; its log: cannot bind"),
    ):
        daemon.wait_for("^ready")


def test_foreground_daemon_that_is_mute_is_not_awaited_for_ever() -> None:
    with (
        ForegroundDaemon(["/bin/sleep", "60"], marked()) as daemon,
        pytest.raises(BenchError, match=r"said nothing like 'ready' in 0.1 s"),
    ):
        daemon.wait_for("ready", deadline=0.1)


def test_end_all_finds_orphans_that_ignore_term_and_their_children() -> None:
    # The orphan says so itself when its trap is set; the pipe is its readiness.
    script = "trap '' TERM; echo set; while :; do sleep 60; done"
    read, write = os.pipe()
    with open(read) as ready:
        env = marked({"ORPHAN": "here"})
        timed(["/bin/sh", "-c", '/bin/sh -c "$0" &', script], env, stdout=write)
        os.close(write)
        assert ready.readline() == "set\n"
        told = end_all(lambda: carrying("ORPHAN", "here"), grace=0.2)
    assert any("while :; do" in one for one in told)
    assert carrying("ORPHAN", "here") == []


DRIVER = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    n = int(line.split()[1])
    print("failed too many" if n > 9 else f"done {n / 2}", flush=True)
"""


def test_driver_dialogue() -> None:
    with Driver([sys.executable, "-c", DRIVER], marked()) as driver:
        assert driver.run(3) == 1.5
        with pytest.raises(BenchError, match="too many"):
            driver.run(10)
        assert driver.run(4) == 2.0
    assert leftovers() == []


def test_driver_that_cannot_start_says_why() -> None:
    argv = [sys.executable, "-c", "print('failed no library')"]
    with pytest.raises(BenchError, match=r"^no library$"):
        Driver(argv, marked())


# -- contenders that lack, and measurements over commands that only look like ours


@contextmanager
def contender(enter: Exception | None = None, leave: Exception | None = None) -> Iterator[str]:
    if enter:
        raise enter
    yield "here"
    if leave:
        raise leave


def test_stage_tells_who_lacks_and_who_did_not_end_well() -> None:
    with Stage() as stage:
        assert stage.enter(contender()) == "here"
        assert stage.enter(contender(Unavailable("no x", "apt"))) == Absent("missing: no x; apt")
        assert stage.enter(contender(BenchError("bad"))) == Absent("did not start: bad")
        assert stage.enter(contender(leave=BenchError("left 7"))) == "here"
    assert stage.complaints == ("left 7",)


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(Unavailable, match="no glub-nothing; apt-get install glub, or --install"):
        need("glub-nothing", Package("apt", ("glub",)))


FAKE_GLURUN = """#!/bin/sh
n=1
if [ "$1" = -T ]; then shift; fi
if [ "$1" = -n ]; then n=$2; shift 2; fi
if [ -n "$GLUNIX_TIMES" ]; then printf 'imports 0.0001\\nexited 0.0002\\n' >&2; fi
if [ "$n" = 1 ]; then exec "$@"; fi
i=0
while [ $i -lt "$n" ]; do /bin/true; i=$((i+1)); done
"""

TINY = Plan(short_rounds=2, long_rounds=1, jobs=5, stream_bytes=2_500_000, nodes=2, wide=3)


def fake_commands(folder: Path, monkeypatch: pytest.MonkeyPatch, down: str) -> None:
    up = 'case $1 in up) mkdir -p "$GLUNIX_DIR";; down) ' + down + ";; esac"
    for name, text in (("glunix", f"#!/bin/sh\n{up}\n"), ("glurun", FAKE_GLURUN)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("GLUNIX_BENCH_BIN", str(folder))


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No peer is installed: the rows must say so."""

    def nothing(program: str, package: Package) -> str:
        raise Unavailable(f"no {program}", package.how)

    for peer in ("slurm", "ssh", "pdsh"):
        monkeypatch.setattr(sys.modules[f"{__package__}.peers.{peer}"], "need", nothing)


@pytest.mark.usefixtures("alone")
def test_start_without_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_commands(tmp_path, monkeypatch, "true")
    section = bench_start.measure(TINY)
    srun, ssh, floor, bare = section.rows
    assert isinstance(srun.ours, Samples) and len(srun.ours.values) == 2
    assert srun.peer == Absent("missing: no munged; apt-get install slurm-wlm munge")
    assert ssh.peer == Absent("missing: no sshd; apt-get install openssh-server openssh-client")
    assert bare.ratio is not None and floor.ratio is not None
    (breakdown,) = section.breakdowns
    assert [name for name, _ in breakdown.steps] == ["interpreter", "imports", "exited", REST]
    assert section.complaints == ()


@pytest.mark.usefixtures("alone")
def test_wide_and_stream_over_fake_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_commands(tmp_path, monkeypatch, "true")
    (wide,) = bench_wide.measure(TINY).rows
    assert wide.met is True and isinstance(wide.peer, Absent)
    rows = bench_stream.measure(TINY).rows
    assert len(rows) == 6  # three at user level, three kinds of stdin under -T
    assert all(isinstance(row.ours, Samples) for row in rows)


@pytest.mark.usefixtures("alone")
def test_what_down_leaves_is_ended_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_commands(tmp_path, monkeypatch, "sleep 60 & true")
    section = bench_wide.measure(TINY)
    (complaint,) = section.complaints
    assert complaint.startswith("`glunix down` left running: ")
    assert leftovers() == []


@pytest.mark.usefixtures("alone")
def test_without_ours_the_rows_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLUNIX_BENCH_BIN", str(tmp_path))
    for row in (*bench_start.measure(TINY).rows, *bench_wide.measure(TINY).rows):
        assert isinstance(row.ours, Absent)
        assert row.ours.reason.startswith(f"missing: no glunix in {tmp_path}; make install")


def test_lost_bytes_are_not_a_figure() -> None:
    with (
        bench_stream.sample_file(100_000) as path,
        pytest.raises(BenchError, match="99999 bytes of 100000 arrived"),
    ):
        bench_stream.push(
            lambda argv: sh("head -c 99999"),
            marked(),
            bench_stream.Direction.THROUGH,
            path,
            100_000,
        )


# -- the command


def section(*, met: bool = True, complaint: str = "") -> Section:
    row = Row("r", ms(1 if met else 3), ms(2), MILLISECONDS, Target(Judged.RATIO, 1.0))
    return Section("s", (row,), complaints=(complaint,) if complaint else ())


@pytest.mark.parametrize(
    ("found", "argv", "status"),
    [
        (section(), ["--check"], 0),
        (section(met=False), [], 0),
        (section(met=False), ["--check", "--json"], 1),
        (section(complaint="left 7"), [], 1),
    ],
)
def test_exit_status(
    found: Section,
    argv: list[str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "MEASUREMENTS", {"x": lambda plan: found})
    with keeping_sigterm():
        assert command.main([*argv, "x"]) == status
    out = capsys.readouterr().out
    assert json.loads(out)[0]["title"] == "s" if "--json" in argv else ".50x (" in out


@contextmanager
def keeping_sigterm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def test_unknown_measurement_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        command.main(["nothing"])
    assert left.value.code == 2
    assert capsys.readouterr().err.endswith("error: no such measurement: nothing\n")


def test_installing_needs_root(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with keeping_sigterm():
        assert command.main(["--install-peers"]) == 1
    assert "--install-peers needs root" in capsys.readouterr().err


def test_installing_starts_no_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(install, "_POLICY", policy)
    with install.no_services(), pytest.raises(BenchError, match="ended with 101"):
        timed([str(policy)], marked())
    assert not policy.exists()
    policy.write_text("the admin's own")
    with install.no_services():
        assert policy.read_text() == "the admin's own"
    assert policy.read_text() == "the admin's own"
