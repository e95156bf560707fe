"""The command as a user runs it: statuses, ^C and ^Z, loading, listing, the docs' example."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pexpect
import pytest

from slic.cli import main
from slic.engines.filter import JEQ, compile_filter
from slic.interposer import Kind
from slic.kernel.seccomp import RET_USER_NOTIF
from slic.loading import LoadError, load, shipped
from slic.policy import Policy
from slic.registry import ANSWERING, engines
from slic.syscalls import BY_NAME, BY_NUMBER

Guest = Callable[..., str]
ROOT = Path(__file__).resolve().parents[2]
ENGINES = [e.name for e in engines().values() if e.unavailable() is None]
ANSWER = [name for name in ENGINES if name in ANSWERING]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
SLIC = [sys.executable, "-m", "slic.cli"]


def slic(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SLIC, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", -15), ("kill -KILL $$", -9)],
)
def test_the_status_is_the_programs(engine: str, script: str, status: int) -> None:
    done = slic("run", "-e", engine, "-i", "passthrough:getppid", "--", "sh", "-c", script)
    assert (done.returncode, done.stderr) == (status, "")


def test_what_cannot_be_run() -> None:
    through = ("run", "-i", "passthrough:getppid", "--")
    assert slic(*through, "/nowhere/prog").returncode == 127
    assert slic(*through, "/etc/passwd").returncode == 126
    done = slic("run", "-i", "nothing", "--", "true")
    assert done.returncode == 125 and "no interposer 'nothing'" in done.stderr
    done = slic("run", "-i", "passthrough:opennn", "--", "true")
    assert done.returncode == 125 and "no call opennn" in done.stderr
    done = slic("run", "-e", "magic", "-i", "trace", "--", "true")
    assert done.returncode == 125 and "no engine 'magic'" in done.stderr
    done = slic("run", "--", "true")
    assert done.returncode == 125 and "required: -i" in done.stderr
    done = slic("run", "-i", "guard:/nowhere", "--", "true")
    assert (done.returncode, done.stderr) == (
        125,
        "slic: guard:/nowhere: /nowhere: No such file or directory\n",
    )
    assert slic("--help").returncode == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_pipes_and_input_are_untouched(engine: str) -> None:
    script = "cat | tr a-z A-Z; echo err >&2"
    done = subprocess.run(
        [*SLIC, "run", "-e", engine, "-i", "passthrough:read,write", "--", "sh", "-c", script],
        env=ENVIRONMENT,
        input="hello\n" * 1000,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "HELLO\n" * 1000, "err\n")


@pytest.mark.parametrize("engine", ENGINES)
def test_trace_shows_calls(engine: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = slic(
        "run", "-e", engine, "-i", f"trace:openat,out={out}", "--", "cat", "/etc/hostname", "/nope"
    )
    assert done.returncode == 1 and done.stdout == Path("/etc/hostname").read_text()
    shown = out.read_text()
    result = r" = \d+" if engine != "unotify" else ""
    assert re.search(rf'^\d+ +openat\(AT_FDCWD, "/etc/hostname", O_RDONLY\){result}$', shown, re.M)
    if engine != "unotify":
        assert '"/nope", O_RDONLY) = -1 ENOENT (No such file or directory)\n' in shown
        assert shown.endswith("+++ exited with 1 +++\n")


@pytest.mark.parametrize("engine", ENGINES)
def test_trace_shows_the_program_and_not_how_it_was_started(engine: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert slic("run", "-e", engine, "-i", f"trace:out={out}", "--", "/bin/true").returncode == 0
    first, *others = out.read_text().splitlines()
    assert re.match(r'\d+ +execve\("/bin/true", ', first)
    assert any("exit_group(0" in line for line in others)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("out", ["/dev/full", None], ids=["full", "reader-left"])
def test_a_trace_that_cannot_be_written_leaves_the_program_alone(
    engine: str, out: str | None
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    policy = "trace" + (f":out={out}" if out else "")
    with os.fdopen(writer) as nobody:
        done = subprocess.run(
            [*SLIC, "run", "-e", engine, "-i", policy, "--", "sh", "-c", "echo on; exit 3"],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if out else nobody,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stdout) == (3, "on\n")
    if out:
        told = "slic: trace: /dev/full: No space left on device: no more is shown\n"
        assert done.stderr == told


def test_trace_summary(tmp_path: Path) -> None:
    done = slic("run", "-e", "ptrace", "-i", "trace:summary,openat,read", "--", "cat", "/nope")
    rows = {line.split()[0]: line.split() for line in done.stderr.splitlines() if line}
    assert int(rows["openat"][1]) >= 2 and int(rows["openat"][2]) >= 1
    assert float(rows["read"][-1]) > 0 and "mmap" not in rows


def test_sigterm_for_the_supervisor_ends_the_program(guest: Guest) -> None:
    program = guest(
        "trapped",
        r"""static void got(int s) { write(1, "got\n", 4); _exit(3); }
        int main(void) { signal(SIGTERM, got); write(1, "on\n", 3); for (;;) pause(); }""",
    )
    for engine in ENGINES:
        running = subprocess.Popen(
            [*SLIC, "run", "-e", engine, "-i", "passthrough:getppid", "--", program],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
        )
        with running:
            assert running.stdout is not None and running.stdout.readline() == b"on\n"
            running.send_signal(signal.SIGTERM)
            assert running.stdout.read() == b"got\n"
            assert running.wait(30) == 3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_signal_to_the_group_comes_once(engine: str, guest: Guest) -> None:
    program = guest(
        "counts",
        r"""static void got(int s) { write(1, s == SIGUSR1 ? "1\n" : "2\n", 2); }
        int main(void) { struct sigaction a = {.sa_handler = got, .sa_flags = SA_RESTART}; char b;
          sigaction(SIGUSR1, &a, 0); sigaction(SIGUSR2, &a, 0); write(1, "on\n", 3);
          return read(0, &b, 1); }""",
    )
    with subprocess.Popen(
        [*SLIC, "run", "-e", engine, "-i", "passthrough:getppid", "--", program],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        assert running.stdin is not None and running.stdout is not None
        assert running.stdout.readline() == b"on\n"
        for _ in range(10):
            os.killpg(running.pid, signal.SIGUSR1)
            assert running.stdout.readline() == b"1\n"
            running.send_signal(signal.SIGUSR2)
            assert running.stdout.readline() == b"2\n"
        running.stdin.close()
        assert running.stdout.read() == b""
        assert running.wait(30) == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_job_control_in_a_shell(engine: str) -> None:
    """^Z gives the shell its prompt, fg goes on, ^C ends: as without slic."""
    shell = pexpect.spawn(
        "bash",
        ["--norc", "--noediting", "-i"],
        env={**ENVIRONMENT, "PS1": "@ "},
        timeout=30,
        encoding="utf-8",
        echo=False,
    )
    try:
        shell.expect_exact("@ ")
        command = " ".join(SLIC)
        shell.sendline(f"{command} run -e {engine} -i passthrough:write,read -- cat; echo st $?")
        shell.sendline("one")
        shell.expect_exact("one")
        shell.sendcontrol("z")
        shell.expect("Stopped")
        shell.expect_exact("@ ")
        shell.sendline("jobs")
        shell.expect("Stopped.*slic")
        shell.expect_exact("@ ")
        shell.sendline("fg; echo st $?")
        shell.expect_exact("cat")
        shell.sendline("two")
        shell.expect_exact("two")
        shell.sendcontrol("c")
        shell.expect_exact("@ ")
    finally:
        shell.close(force=True)


def test_attach_from_the_command_line(guest: Guest, tmp_path: Path) -> None:
    program = guest("ticker", "int main(void) { for (;;) { syscall(SYS_getppid); usleep(5000); } }")
    out = tmp_path / "out"
    with subprocess.Popen([program]) as ticker, ExitStack() as at_last:
        at_last.callback(ticker.kill)
        command = [*SLIC, "attach", "-i", f"trace:getppid,out={out}", str(ticker.pid)]
        with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE) as attached:
            assert attached.stderr is not None
            assert attached.stderr.readline() == b"slic: attached to 1 tasks\n"
            while not (out.exists() and out.read_text().count("getppid") > 2):
                assert attached.poll() is None
            attached.send_signal(signal.SIGINT)
            assert attached.wait(30) == 0
        assert ticker.poll() is None
        assert "TracerPid:\t0" in Path(f"/proc/{ticker.pid}/status").read_text()


def test_engines_and_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "132")
    assert main(["engines"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("unotify", "ptrace", "ptrace-seccomp", "ADD_FD"))
    assert "on_fork (sched_process_fork): " in out
    assert main(["list", "-i", "trace:openat"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["trace", "openat", "after", "returned", "partly", "yes", "yes", "yes"] in rows
    assert main(["list", "--markdown"]) == 0
    assert (
        "| passthrough | every call | on passed | yes | yes | yes | yes |"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("columns", [80, 100, 132])
def test_the_list_fits_the_terminal(columns: int) -> None:
    done = subprocess.run(
        [*SLIC, "list"],
        env={**ENVIRONMENT, "COLUMNS": str(columns)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines) <= columns
    shown = {word for line in lines for word in line.split()}
    for chosen in shipped().values():
        for handler in chosen.handlers:
            assert handler.method in shown
            assert handler.every or set(handler.calls) <= shown


@pytest.mark.parametrize("begun", ["loop.c", "figures"])
@pytest.mark.parametrize("to_all", [False, True], ids=["alone", "group"])
def test_bench_ended_by_a_signal_leaves_one_line_and_nothing_else(
    tmp_path: Path, begun: str, to_all: bool
) -> None:
    number = signal.SIGINT if to_all else signal.SIGTERM  # ^C comes from the terminal, to all
    with subprocess.Popen(
        [*SLIC, "bench", "--calls", "1000"],
        env={**ENVIRONMENT, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as bench:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(f"*/{begun}")):
            assert time.monotonic() < deadline and bench.poll() is None
            time.sleep(0.002)  # a file that another process makes has no descriptor to wait on
        (os.killpg if to_all else os.kill)(bench.pid, number)
        _, errors = bench.communicate(timeout=60)
    told = [line for line in errors.splitlines() if line.startswith("slic")]
    assert told == [f"slic: bench ended by {number.name}"] and "Traceback" not in errors
    assert bench.returncode == -number
    assert list(tmp_path.iterdir()) == []
    assert _session(bench.pid) == []


def _session(leader: int) -> list[str]:
    """The processes that are left of a session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = entry.read_text(errors="surrogateescape")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(text.rpartition(")")[2].split()[3]) == leader:
            found.append(text)
    return found


@pytest.mark.slow
def test_bench_measures_every_engine() -> None:
    if not os.environ.get("GLUNIX_LONG"):
        pytest.skip("builds a small project many times: GLUNIX_LONG=1")
    done = slic("bench", "--calls", "50", timeout=600)
    assert done.returncode == 0
    for engine in ANSWER:
        rows = re.findall(
            rf"^{engine}(?: from C|, \w+(?: on)?)? +[\d.]+ (?:ns|s) +[\d.]+x", done.stdout, re.M
        )
        assert len(rows) == 4, done.stdout  # from C, answered, passed on, build
    if "ebpf" in ENGINES:
        rows = re.findall(r"^ebpf(?:, \w+(?: on)?)? +[\d.]+ (?:ns|s) +[\d.]+x", done.stdout, re.M)
        assert len(rows) == 3, done.stdout  # passed on, counted, build


def test_loading(tmp_path: Path) -> None:
    assert {"passthrough", "trace"} <= set(shipped())
    assert "opens" not in shipped()
    assert load("passthrough:read").name == "passthrough"
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from slic.interposer import Interposer\n"
        "class A(Interposer):\n    pass\n\nclass B(Interposer):\n    pass\n"
    )
    assert load(f"{mine}:B").name == "b"
    for spec, complaint in (
        (str(mine), "2 interposers"),
        (f"{mine}:C", "no interposer 'C'"),
        (f"{mine}:A:x=1", "no argument"),
        (f"{tmp_path}/other.py:A", "no Python file"),
    ):
        with pytest.raises(LoadError, match=complaint):
            load(spec)


# -- the documents -------------------------------------------------------------------------------
DOCS = ROOT / "docs" / "slic.md"


@pytest.mark.parametrize("engine", ANSWER)
def test_the_worked_example_of_the_docs(engine: str, tmp_path: Path) -> None:
    """The extension, the command and the output stand in the docs; here they are run."""
    text = DOCS.read_text()
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.S)
    source = next(body for kind, body in blocks if kind == "python" and "calm.py" in body)
    session = next(body for kind, body in blocks if kind == "console" and "uname -n" in body)
    assert len(source.strip().splitlines()) <= 20
    (tmp_path / "calm.py").write_text(source)
    command, _, expected = session.removeprefix("$ slic ").partition("\n")
    command = command.replace("run ", f"run --engine {engine} ", 1)
    done = subprocess.run(
        " ".join(SLIC) + " " + command,
        shell=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout + done.stderr, done.returncode) == (expected, 3)


def test_the_support_table_of_the_docs_is_the_generated_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """To renew it: `slic list --markdown`, the rows of the interposers that SLIC documents."""
    named = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "interposers.md").read_text(), re.M)
    assert len(named) == 6
    assert main(["list", "--markdown"]) == 0
    head, line, *rows = capsys.readouterr().out.splitlines()
    table = [head, line, *(row for row in rows if row.split()[1] in named)]
    assert {row.split()[1] for row in table[2:]} == set(named)
    assert "\n".join(table) + "\n" in DOCS.read_text()


@pytest.mark.parametrize(
    "spec",
    [
        "crypt:dir={folder},key={folder}/key",
        "guard:{folder}/rules.toml",
        "identity:hostname=home",
        "passthrough:read,openat",
        "restrict:{folder}/policy.toml",
        "trace:openat,close",
    ],
    ids=lambda spec: spec.partition(":")[0],
)
def test_one_declaration_drives_list_filter_and_dispatch(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_bytes(bytes(32))
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "policy.toml").write_text('files.read = ["/usr"]\n')
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "r"\ncalls = ["chmod", "kill"]\n')
    spec = spec.format(folder=tmp_path)
    assert main(["list", "--markdown", "-i", spec]) == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    listed = {
        call for _, calls, kind, *_ in rows if kind.startswith("on ") for call in calls.split()
    }
    policy = Policy([load(spec)])
    declared = {c for _, h in policy.handlers() if h.kind is Kind.CALL for c in h.calls}
    assert listed == declared
    numbers = {BY_NAME[call].number for call in declared}
    assert set(policy.subscription().calls) == numbers  # the dispatch is by the same table
    program = compile_filter(policy.subscription(), RET_USER_NOTIF)
    compared = {i.k for i in program if i.code == JEQ}
    others = set(BY_NUMBER) - numbers - {BY_NAME["io_uring_setup"].number}
    assert numbers <= compared
    tested = {
        v
        for alternatives in policy.subscription().calls.values()
        for a in alternatives
        for t in a
        for v in t.test.values
    }
    assert not compared & (others - tested)
