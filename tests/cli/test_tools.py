"""glups, glukill, glustat, glunix: command lines, what they print, their exit statuses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakedaemon import FakeDaemon, FakeLink

from glunix.cli import common, glukill, glups, glurun, glustat, main, signals
from glunix.errors import GlunixError
from glunix.msg import client as wire
from glunix.msg.job import JobRow, NodeRow, ProcRow

PROCS = [ProcRow(1, "node2", 12, "running"), ProcRow(0, "node1", 11, "exited", 0, 9)]
JOB = JobRow(7, 0, "home", "sh -c 'a\x1b[31m'", 2, True, "running", 1000.0, 1065.0, "", PROCS)
NODE = NodeRow("node1", "up", True, 2, 0.5, 2**31, 2**30, 1, 1.0, 2.0, ["uts", "pid"])


def answering(daemon: FakeDaemon) -> None:
    def script(link: FakeLink) -> None:
        while (got := link.receive()) is not None:
            question = got[1]
            if isinstance(question, wire.ListJobs):
                link.send(wire.Jobs(question.request, [JOB]))
            elif isinstance(question, wire.ListNodes):
                link.send(wire.Nodes(question.request, [NODE]))
            elif question.npid == 7:
                link.send(wire.Done(question.request, 2))
            else:
                text = f"no job {question.npid}"
                link.send(wire.Refused(question.request, "no-job", text))

    daemon.script = script


def test_glups_table(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    answering(daemon)
    assert glups.main(["-a"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["NPID", "USER", "HOME", "NODES", "STATE", "ELAPSED", "LVL", "COMMAND"]
    assert row.split()[:7] == ["7", "root", "home", "node1,node2", "running", "01:05", "-T"]
    assert "\x1b" not in row and "\\x1b[31m" in row


def test_glups_processes_and_json(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    answering(daemon)
    assert glups.main(["-p"]) == 0
    rows = [line.split()[:5] for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [
        ["7.0", "node1", "11", "exited", "KILL"],
        ["7.1", "node2", "12", "running", "-"],
    ]
    assert glups.main(["--json"]) == 0
    (job,) = json.loads(capsys.readouterr().out)
    assert job["npid"] == 7 and job["procs"][1]["signal"] == 9


def test_glups_of_a_job_that_is_not_there(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(daemon)
    assert glups.main(["7", "8"]) == 1
    assert capsys.readouterr().err == "glups: no job 8\n"


def test_glustat(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    answering(daemon)
    assert glustat.main([]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[:7] == ["node1", "up", "0.50", "2", "1.0G", "2.0G", "1"] and row[-2:] == [
        "uts,",
        "pid",
    ]
    assert glustat.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["isolated"] == ["uts", "pid"]


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ([], 1, "which job?"),
        (["x"], 1, "not a job: 'x'"),
        (["0"], 1, "no such job can be: 0"),
        (["1.9999"], 1, "no such job"),
        (["1.2.3"], 1, "not a job"),
        (["-BOGUS", "7"], 1, "no signal BOGUS"),
        (["-s"], 1, "needs a signal"),
        (["--bogus", "7"], 1, "no option --bogus"),
        (["-l", "nope"], 1, "no signal nope"),
        (["-65", "7"], 1, "no signal 65"),
        (["\x1b[2J"], 1, "\\\\x1b"),
    ],
)
def test_glukill_misuse_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, text: str
) -> None:
    assert glukill.main(words) == status
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1 and error.startswith("glukill: ")


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (["7"], (15, ["7"])),
        (["-9", "7.1", "8"], (9, ["7.1", "8"])),
        (["-KILL", "7"], (9, ["7"])),
        (["-s", "sigusr1", "7"], (10, ["7"])),
        (["--signal=0", "7"], (0, ["7"])),
        (["-RTMIN+2", "--", "7"], (signal.SIGRTMIN + 2, ["7"])),
    ],
)
def test_glukill_parses(words: list[str], order: tuple[int, list[str]]) -> None:
    parsed = glukill.parse(words)
    assert (parsed.signal, [str(target) for target in parsed.targets]) == order


def test_glukill_statuses(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    answering(daemon)
    assert glukill.main(["7"]) == 0
    assert glukill.main(["7", "8"]) == 64
    assert "glukill: 8: no job 8" in capsys.readouterr().err
    assert glukill.main(["8"]) == 1
    assert glukill.main(["--json", "-0", "7"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "signal": 0,
        "done": [{"npid": 7, "vnn": None, "processes": 2}],
    }


def test_kill_l_agrees_with_bash(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(1, 65):
        if 32 <= number <= 33:
            continue
        told = subprocess.run(
            ["bash", "-c", f"kill -l {number}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        assert signals.number_of(told) == number
        assert glukill.main(["-l", str(number)]) == 0
        assert signals.number_of(capsys.readouterr().out.strip()) == number
    assert glukill.main(["-l", "137"]) == 0
    assert capsys.readouterr().out == "KILL\n"
    assert glukill.main(["-l"]) == 0
    assert " 9 KILL\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tool", "words", "status"),
    [
        (glups.main, ["x"], 1),
        (glups.main, ["--alll"], 1),
        (glustat.main, ["--watch", "never"], 1),
        (glustat.main, ["--watch", "0"], 1),
        (main.main, [], 2),
        (main.main, ["bogus"], 2),
        (main.main, ["up", "-n", "0"], 2),
        (main.main, ["up", "-n", "many"], 2),
        (main.main, ["logs", "-n", "-1"], 2),
        (main.main, ["completion", "csh"], 2),
    ],
)
def test_misuse_is_one_line(tool, words, status, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        tool(words)
    assert caught.value.code == status
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("tool", [glups, glustat, glukill])
def test_no_cluster_is_one_line(tool, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["7"] if tool is glukill else []) == 1
    error = capsys.readouterr().err
    assert str(folder) in error and error.count("\n") == 1


def test_status(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    answering(daemon)
    assert main.main(["status"]) == 0
    out = capsys.readouterr().out
    assert "1 nodes up (node1)" in out and "share this machine's mount" in out
    assert main.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"] == {"node1": "up"}


def test_status_without_a_cluster(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["status"]) == 3
    assert capsys.readouterr().err.count("\n") == 1
    assert main.main(["status", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["running"] is False


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["version", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"glunix", "python"}


def test_logs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["logs"]) == 1
    assert "never was a cluster" in capsys.readouterr().err
    private = folder / "private"
    private.mkdir()
    (private / "master.log").write_text("one\ntwo\nthree\n")
    (private / "node1.log").write_bytes(b"a\x1b[2J\xff\r\n")
    assert main.main(["logs", "-n", "2"]) == 0
    assert capsys.readouterr().out == "master: two\nmaster: three\nnode1: a\\x1b[2J\ufffd\n"
    assert main.main(["logs", "--json", "node1"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "node1"
    assert main.main(["logs", "node9"]) == 1
    assert "there are: master, node1" in capsys.readouterr().err


def script(module: str, *words: str) -> "subprocess.Popen[str]":
    code = f"import sys; from glunix.cli.{module} import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_logs_follow_until_interrupt(folder: Path) -> None:
    private = folder / "private"
    private.mkdir()
    log = private / "master.log"
    log.write_text("old\n")
    with script("main", "logs", "-f") as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "master: old\n"
        with log.open("a") as more:
            more.write("new\n")
        assert reader.stdout.readline() == "master: new\n"
        reader.send_signal(signal.SIGINT)
        reader.communicate(timeout=10)
        assert reader.returncode == -signal.SIGINT


def test_watch_until_interrupt(daemon: FakeDaemon) -> None:
    answering(daemon)
    with script("glustat", "--json", "--watch", "0.1") as watcher:
        assert watcher.stdout is not None
        for _ in range(3):
            assert json.loads(watcher.stdout.readline())[0]["name"] == "node1"
        watcher.send_signal(signal.SIGINT)
        watcher.communicate(timeout=10)
        assert watcher.returncode == -signal.SIGINT


def test_closed_pipe_is_no_traceback(daemon: FakeDaemon) -> None:
    answering(daemon)
    with script("glustat", "--watch", "0.1") as watcher:
        assert watcher.stdout is not None and watcher.stderr is not None
        watcher.stdout.readline()
        watcher.stdout.close()
        assert watcher.stderr.read() == ""
        assert watcher.wait(10) == -signal.SIGPIPE


def test_table_on_a_terminal(daemon: FakeDaemon) -> None:
    """On a terminal the table comes from rich, and says the same."""
    answering(daemon)
    master_fd, slave_fd = os.openpty()
    code = "import sys; from glunix.cli.glustat import main; sys.exit(main())"
    env = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=slave_fd, env=env) as tool:
        assert tool.wait(20) == 0
    os.close(slave_fd)
    shown = os.read(master_fd, 65536).decode()
    os.close(master_fd)
    assert "node1" in shown and "uts, pid" in shown and "\x1b[1m" in shown


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (1023, "1023"), (1536, "1.5K"), (2**40 * 200, "200T")]
)
def test_size(count: int, text: str) -> None:
    assert common.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "00:00"), (61, "01:01"), (3600, "01:00:00"), (90000, "1-01:00:00")]
)
def test_span(seconds: float, text: str) -> None:
    assert common.span(seconds) == text


def test_tools_do_not_load_what_they_do_not_need(folder: Path) -> None:
    heavy = {"asyncio", "rich", "psutil", "ptrace", "glunix.api.client", "sqlite3"}
    code = (
        "import sys; from glunix.cli import glups, glukill, glustat\n"
        "for tool in glups, glustat: tool.main([])\n"
        "glukill.main(['7']); print(*sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(told.stdout.split())


def test_an_engine_that_would_not_be_used_is_refused() -> None:
    with pytest.raises(GlunixError, match="--engine is for -T"):
        glurun.options_of([("engine", "ptrace")], ["true"])
    options = glurun.options_of([("engine", "ptrace"), ("transparent", "")], ["true"])
    assert options.engine == "ptrace"
