"""The command for people: which engine it takes, what it says of mistakes, where output goes."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slic.interposer import Interposer, after, on
from slic.interposers.identity import Identity
from slic.interposers.restrict import Restrict, Rules
from slic.interposers.trace import Trace
from slic.loading import GLUNIX_ONLY, shipped
from slic.policy import Policy
from slic.registry import engines, select
from slic.tracee import Tracee
from slic.verdict import PASS, Capability, Verdict

ROOT = Path(__file__).resolve().parents[2]
SLIC = [sys.executable, "-m", "slic.cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
WORKING = [name for name, engine in engines().items() if engine.unavailable() is None]
OFFERED = ["crypt", "guard", "identity", "passthrough", "restrict", "trace"]


def slic(*words: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [*SLIC, *words]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )


# -- the engine ----------------------------------------------------------------------------------
class Counting(Interposer):
    confines = False

    @on("getpid", needs=Capability.INSPECT)
    def asked(self, tracee: Tracee) -> Verdict:
        return PASS

    @after("getpid", optional=True)
    def told(self, tracee: Tracee, result: int) -> None:
        return None


class Modest(Counting):
    undemanding = True


@pytest.mark.skipif(set(WORKING) < {"unotify", "ptrace-seccomp"}, reason="an engine is missing")
def test_the_engine_is_the_cheapest_that_shows_all() -> None:
    def chosen(*stack: Interposer, showing: bool = True) -> str:
        return select(Policy(stack), showing=showing).name

    restrict = Restrict(Rules.load(""))
    identity = Identity.from_argument("hostname=home")
    assert chosen(Trace(print)) == chosen(Counting()) == "ptrace-seccomp"
    assert chosen(identity) == chosen(Modest()) == chosen(restrict) == "unotify"
    assert chosen(identity, Trace(print, ["read"]), restrict) == "ptrace-seccomp"
    assert chosen(Trace(print), showing=False) == "unotify"  # as supervisors ask
    assert select(Policy([Trace(print)]), "unotify", showing=True).name == "unotify"


def test_without_an_engine_that_shows_all_the_cheapest_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, engine in engines().items():
        reason = None if name == "unotify" else "the test says so"
        monkeypatch.setattr(type(engine), "unavailable", lambda self, why=reason: why)
    assert select(Policy([Trace(print)]), showing=True).name == "unotify"


# -- what is shown -------------------------------------------------------------------------------
def test_results_are_shown_without_asking_for_an_engine() -> None:
    done = slic("run", "-i", "trace:openat,exit_group", "--", "/bin/cat", "/nope")
    assert done.returncode == 1
    end = 'openat(AT_FDCWD, "/nope", O_RDONLY)     = -1 ENOENT (No such file or directory)\n'
    assert end in done.stderr
    assert done.stderr.endswith(
        "exit_group(1)                           = ?\n+++ exited with 1 +++\n"
    )


def test_labels_while_there_is_more_than_one_process(tmp_path: Path) -> None:
    script = "/bin/true; sleep 0.1 & wait; exit 3"
    done = slic("run", "-i", "trace:execve,exit_group", "--", "/bin/bash", "-c", script)
    lines = done.stderr.splitlines()
    assert lines[0].startswith('execve("/bin/bash"')
    inner = [
        line for line in lines if "/bin/true" in line and "execve" in line and "bash" not in line
    ]
    assert re.match(r"\[pid +\d+\] execve", inner[0])
    assert lines[-1] == "+++ exited with 3 +++"
    out = tmp_path / "out"
    slic("run", "-o", str(out), "-i", "trace:execve", "--", "/bin/bash", "-c", script)
    assert all(re.match(r"\d+ +\S", line) for line in out.read_text().splitlines())


def test_a_call_that_waits_is_shown_before_it_returns(tmp_path: Path) -> None:
    command = [*SLIC, "run", "-i", "trace:read,write", "--", "/bin/cat"]
    with subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as cat:
        assert cat.stdin is not None and cat.stderr is not None and cat.stdout is not None
        shown = b""
        while not shown.endswith(b"read(0, "):
            part = os.read(cat.stderr.fileno(), 4096)
            assert part, shown
            shown += part
        cat.stdin.write(b"typed\n")
        cat.stdin.close()
        rest = cat.stderr.read().decode()
        assert cat.stdout.read() == b"typed\n"
    first, second = rest.splitlines()[:2]
    assert re.fullmatch(r'"typed\\n", \d+\) += 6', first)
    assert re.fullmatch(r'write\(1, "typed\\n", 6\) += 6', second)


@pytest.mark.parametrize("engine", WORKING)
def test_json(engine: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("run", "-e", engine, "-i", "trace:openat,exit_group", "--json", "-o", str(out))
    assert slic(*words, "--", "/bin/cat", "/nope").returncode == 1
    told = [json.loads(line) for line in out.read_text().splitlines()]
    opened = next(one for one in told if one.get("args", ["", ""])[1:2] == ['"/nope"'])
    assert opened["call"] == "openat"
    assert opened["args"] == ["AT_FDCWD", '"/nope"', "O_RDONLY"]
    assert len(opened["raw"]) == 6 and isinstance(opened["pid"], int)
    if engine != "unotify":
        assert (opened["result"], opened["errno"]) == (-1, "ENOENT")
        assert opened["took"] > 0
        assert told[-2] | {"pid": 0, "raw": 0} == {
            "pid": 0,
            "call": "exit_group",
            "args": ["1"],
            "raw": 0,
            "result": None,
        }
        assert told[-1] | {"pid": 0} == {"pid": 0, "exited": 1}


def test_output_options_that_cannot_be() -> None:
    done = slic("run", "-o", "/nowhere/x", "-i", "trace", "--", "true")
    assert (done.returncode, done.stderr) == (
        125,
        "slic: -o /nowhere/x: No such file or directory\n",
    )
    done = slic("run", "--json", "-i", "passthrough", "--", "true")
    assert done.returncode == 125
    assert done.stderr.count("\n") == 1 and "-i trace" in done.stderr


# -- mistakes of a user --------------------------------------------------------------------------
HEAD = """from slic.interposer import Interposer, on, after, on_event, ProcessEvent
from slic.verdict import *
"""
MISTAKES = {
    "syntax": ("def f(:\n", 3, "SyntaxError: "),
    "null byte": ("\0", 1, "SyntaxError: "),
    "import": ("import nothing_of_this_name\n", 3, "ModuleNotFoundError: "),
    "name": ("x = y\n", 3, "NameError: name 'y' is not defined"),
    "exit": ("import sys\nsys.exit(3)\n", 4, "it ended the supervisor with exit(3)"),
    "call": (
        "class A(Interposer):\n  @on('opennn')\n  def f(self, tracee):\n    return PASS\n",
        3,
        "DeclarationError: mine.A.f: there is no call 'opennn'",
    ),
    "argument": (
        "class A(Interposer):\n  @on('read')\n  def f(self, tracee, fdd):\n    return PASS\n",
        3,
        "DeclarationError: mine.A.f: 'fdd' is no argument of read(",
    ),
    "from_argument": (
        "class A(Interposer):\n  @classmethod\n  def from_argument(cls, text):\n"
        "    return cls(text['x'])\n",
        6,
        "TypeError: ",
    ),
    "raises": (
        "class A(Interposer):\n  @on('getpid', 'uname')\n  def f(self, tracee):\n"
        "    return helper()\ndef helper():\n  return {}['key']\n",
        8,
        "KeyError: 'key'",
    ),
    "returns nothing": (
        "class A(Interposer):\n  @on('getpid', 'uname')\n  def f(self, tracee):\n    pass\n",
        4,
        "UndeclaredVerdict: a.f returned None, ",
    ),
    "returns a generator's mistake": (
        "class A(Interposer):\n  @on('getpid', 'uname')\n  def f(self, tracee):\n"
        "    yield from ()\n    return 1 / 0\n",
        7,
        "ZeroDivisionError: division by zero",
    ),
    "many lines": (
        "class A(Interposer):\n  @on('getpid', 'uname')\n  def f(self, tracee):\n"
        "    raise RuntimeError('one\\ntwo')\n",
        6,
        "RuntimeError: one two",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("engine", [name for name in WORKING if name != "ebpf"])
def test_a_mistake_is_one_line_of_the_users_own_code(
    engine: str, name: str, tmp_path: Path
) -> None:
    body, line, said = MISTAKES[name]
    (tmp_path / "mine.py").write_text(HEAD + body)
    words = ("run", "-e", engine, "-i", "mine.py:A", "--", "/usr/bin/python3", "-S", "-c")
    program = "import os; os.uname(); print('went on')"
    done = slic(*words, program, folder=tmp_path)
    assert done.stderr.startswith(f"slic: mine.py:{line}: {said}"), done.stderr
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (125, 1, "")
    if name == "syntax" or engine != WORKING[0]:
        return
    all_of_it = slic(*words[:1], "--traceback", *words[1:], program, folder=tmp_path)
    if name != "exit":
        assert "Traceback (most recent call last)" in all_of_it.stderr
        assert "mine.py" in all_of_it.stderr or name == "returns nothing"


def test_a_mistake_in_a_module_beside_it(tmp_path: Path) -> None:
    (tmp_path / "helping.py").write_text("def help():\n    return undefined\n")
    (tmp_path / "mine.py").write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport helping\n{HEAD}"
        "class A(Interposer):\n  @on('uname')\n  def f(self, tracee):\n    return helping.help()\n"
    )
    done = slic("run", "-i", f"{tmp_path}/mine.py:A", "--", "uname")
    assert (
        done.stderr
        == f"slic: {tmp_path}/helping.py:2: NameError: name 'undefined' is not defined\n"
    )
    assert done.returncode == 125


@pytest.mark.parametrize("kind", ["after", "event", "signal", "question"])
def test_mistakes_where_no_call_could_fail(kind: str, tmp_path: Path) -> None:
    handlers = {
        "after": "  @after('uname')\n  def f(self, tracee, result):\n    raise TypeError('here')\n",
        "event": "  @on_event(ProcessEvent.EXIT)\n  def f(self, event):\n    open('/nowhere')\n",
        "signal": "  from slic.interposer import on_signal\n  @on_signal()\n"
        "  def f(self, tid, signal):\n    return undefined\n",
        "question": "  @on('uname')\n  def f(self, tracee):\n    yield 'what?'\n",
    }
    (tmp_path / "mine.py").write_text(f"{HEAD}class A(Interposer):\n{handlers[kind]}")
    script = "exec uname" if kind == "question" else "uname; kill -USR1 $$; exit 3"
    done = slic("run", "-i", "mine.py", "--", "/bin/sh", "-c", script, folder=tmp_path)
    assert done.returncode == 125
    assert re.match(r"slic: mine\.py:\d+: \w+: ", done.stderr), done.stderr
    assert done.stderr.count("\n") == 1


def test_a_mistake_of_slics_own_keeps_its_traceback(tmp_path: Path) -> None:
    program = (
        "import slic.cli, slic.run\n"
        "def broken(*_, **__): raise KeyError('ours')\n"
        "slic.run.run = broken\n"
        "slic.cli.main(['run', '-i', 'passthrough', '--', 'true'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" in done.stderr and "KeyError: 'ours'" in done.stderr


# -- outputs -------------------------------------------------------------------------------------
@pytest.mark.parametrize("words", ["list", "engines", "--help", "run --help", "--version"])
def test_full_closed_and_broken_outputs(words: str) -> None:
    def told(redirection: str) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {redirection}', "sh", *SLIC, *words.split()],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stderr

    assert told(">/dev/full") == (125, "slic: cannot write output: No space left on device\n")
    status, complaint = told(">&-")
    assert (status, "Traceback" in complaint) == (0, False)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as nobody:
        done = subprocess.run(
            [*SLIC, *words.split()],
            env=ENVIRONMENT,
            stdout=nobody,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_the_list_has_what_can_be_used() -> None:
    def names(*words: str) -> list[str]:
        rows = slic("list", "--markdown", *words).stdout.splitlines()[2:]
        return sorted({row.split()[1] for row in rows})

    assert names() == OFFERED == sorted({*shipped()} - {"bpf"})  # which takes a file of the user's
    assert set(OFFERED) < set(names("--all"))
    assert all(name in OFFERED or name.startswith(GLUNIX_ONLY) for name in names("--all"))
    done = slic("run", "-i", "nothing", "--", "true")
    assert done.stderr.rstrip().endswith("shipped are " + ", ".join(sorted(shipped())))


def test_bench_says_how_far_it_is_where_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    from slic import bench

    ways: dict[str, bench.Start] = {"native": lambda argv: None, "other": lambda argv: None}
    main, side = pty.openpty()
    with os.fdopen(side, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert len(list(bench._in_turn("calls", 2, ways))) == 4
        shown = ""
        while shown.count("\r") < 6:
            shown += os.read(main, 10000).decode()
    os.close(main)
    assert "slic: bench: calls, 0 of 4: native" in shown
    assert "calls, 3 of 4: other" in shown
    assert shown.endswith("\r" + " " * 79 + "\r")


def test_bench_says_nothing_into_a_file(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from slic import bench

    list(bench._in_turn("calls", 2, {"native": lambda argv: None}))
    assert capfd.readouterr() == ("", "")
