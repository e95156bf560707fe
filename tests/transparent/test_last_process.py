"""A job lives as long as its last process; its startup ends with the program, as at home."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import DEVNULL

import pytest
from e2e.cluster import Cluster, read_line, until

from .compare import NATIVE, TRANSPARENT, Both
from .terminal import Terminal, states_of
from .test_killed import pids_of, supervisor_of

MakeTerminal = Callable[..., Terminal]

levels = pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])

DAEMON = """
import os, sys, time
if os.fork(): os._exit(3)
os.setsid()
if os.fork(): os._exit(0)
os.chdir("/")
null = os.open("/dev/null", os.O_RDWR)
for fd in range(3): os.dup2(null, fd)
time.sleep(0.3)
with open(sys.argv[1], "w") as file: file.write("daemon in session of its own: %s" % (os.getsid(0) != os.getpid()))
"""  # noqa: E501


@pytest.mark.parametrize(
    "line",
    [
        "$G sh -c 'sleep 0.4 && echo late & echo now'",
        "$G sh -c 'sleep 0.4 && echo late & echo now' | cat",
        "x=$($G sh -c '(sleep 0.4; echo late) & echo now; exit 5'); echo $? $x",
        "$G sh -c '(sleep 0.4; echo late; echo e >&2) & exit 7' >f 2>g; echo $?; sleep 1; cat f g",
        "$G sh -c '(sleep 0.4; echo late) & exit 7' 2>&1 | tee f; echo ${PIPESTATUS[@]}; cat f",
        "ulimit -c 0; $G sh -c '(sleep 0.4; echo late) & kill -9 $$'; echo $?",
        "$G sh -c '(sleep 0.4; echo late) & kill -TERM $$' | cat; echo ${PIPESTATUS[@]}",
        "$G nohup sh -c 'sleep 0.3; echo after all' & wait $!; echo $?",
        "$G sh -c 'trap \"echo hup\" HUP; (sleep 0.4; echo not hung up) & exit 0'",
        "$G setsid -f sh -c 'sleep 1; echo detached'; echo $?",
        "$G sh -c 'yes & exit 3' | head -n 2; echo ${PIPESTATUS[@]}",
        "yes | $G sh -c '(sleep 0.2; head -n 2) <&0 & echo first'",
        "echo a line >f; { $G sh -c '(sleep 0.3; read x; echo got $x) <&0 & exit 0'; } <f",
        "$G sh -c 'sh -c \"sleep 1.5; echo third\" & echo first'; $G echo second; sleep 2",
        "$G sh -c 'for i in 1 2 3; do (sleep 0.$((3*i)); echo $i) & done'; echo 0; sleep 1.4",
        "$G sh -c 'seq 200000 & wait; (sleep 0.2; seq 3) &' | md5sum",
    ],
)
def test_as_at_home(both: Both, line: str) -> None:
    both.same(line)


def test_killing_the_startup_kills_the_program_only(both: Both) -> None:
    """As SIGKILL of the program does at home: what it started lives on, and writes."""
    line = (
        "$G sh -c '(until [ -e go ]; do sleep 0.05; done; echo late) & echo now; exec sleep 78.5' "
        ">f & until grep -qs now f; do sleep 0.05; done; kill -9 $!; wait $!; echo $?; "
        "touch go; until grep -q late f; do sleep 0.05; done; cat f"
    )
    assert both.same(line).text == "137\nnow\nlate"
    assert not pids_of("sleep 78.5")


@levels
def test_daemon(both: Both, level: str) -> None:
    both.cluster.folder.joinpath("daemon.py").write_text(DAEMON)
    folder = both.cluster.folder
    seen = both.run(f"$G $PYTHON {folder}/daemon.py $PWD/out; echo $?; pwd", level)
    status, place = seen.text.split("\n")
    assert status == "3"
    until(lambda: (Path(place) / "out").exists(), "the daemon's word")
    until(lambda: "True" in (Path(place) / "out").read_text(), "all of it")


@pytest.mark.parametrize("engine", ["unotify", "ptrace-seccomp", "ptrace"])
def test_every_engine(both: Both, engine: str) -> None:
    line = "$G sh -c '(sleep 0.3; cat; echo late) <&0 & echo now; exit 3'; echo $?"
    native = both.run(f"echo word | {{ {line}; }}", NATIVE)
    assert both.run(f"echo word | {{ {line}; }}", f"glurun -T --engine={engine}") == native


@levels
@pytest.mark.parametrize(
    "line",
    [
        "$G sh -c 'sleep 4 & echo now'; touch over",
        "$G sh -c 'exec >&-; exec sleep 4' | { cat; touch over; }",
        "$G sh -c 'sleep 4 >&- 2>&- & echo now' 2>&1 | { cat; touch over; }",
        "{ $G sh -c 'sleep 4 >&- & echo now' | { cat; touch over; }; } 2>/dev/null",
    ],
)
def test_nobody_waits_longer_than_at_home(both: Both, place: Path, line: str, level: str) -> None:
    """The startup ends with the program, a pipe when nobody in the job can write to it."""
    with both.cluster.start(
        "bash", "-c", line, cwd=place, env={"G": level}, stdout=DEVNULL, stderr=DEVNULL
    ) as process:
        until(lambda: (place / "over").exists(), "the end of the line", 3.0)
        process.wait(20)
    until(lambda: not pids_of("sleep 4"), "the end of what was left")


def test_it_is_seen_and_killed(shared: Cluster) -> None:
    """glups shows the job until its last process is gone; glukill -9 ends all of it."""
    line = "setsid sleep 71.5 & sleep 71.25 & (trap '' TERM HUP INT; sleep 71.125) & exit 4"
    with shared.start("glurun", "-T", "sh", "-c", line) as process:
        assert process.wait(20) == 4
        until(lambda: len(pids_of("sleep 71.125")) == 1, "the processes that were left")
        rows = [row for row in shared.jobs() if row["state"] == "running"]
        assert [str(row["command"])[:5] for row in rows] == ["sh -c"]
        killed = shared.run("glukill", "-9", str(rows[0]["npid"]))
        assert killed.status == 0, killed
        for time_left in ("5", "25", "125"):
            until(lambda: not pids_of(f"sleep 71.{time_left}"), "the end of all")  # noqa: B023
        until(lambda: not [r for r in shared.jobs() if r["state"] == "running"], "no job")
        assert process.stdout is not None and process.stdout.read() == b""  # closed: nobody has it


def halves(group: int) -> list[int]:
    """Home's halves of jobs in this process group."""
    found = []
    for pid in pids_of("glurun: home's half of a job"):
        with contextlib.suppress(ProcessLookupError):
            found += [pid] if os.getpgid(pid) == group else []
    return found


@pytest.mark.parametrize("victim", ["supervisor", "half"])
def test_when_a_part_dies_all_of_it_ends(shared: Cluster, victim: str) -> None:
    words = f"sleep 7{len(victim)}.75"
    with shared.start("glurun", "-T", "sh", "-c", f"setsid {words} & echo up") as process:
        assert read_line(process) == "up"
        assert process.wait(20) == 0
        until(lambda: len(pids_of(words)) == 1, "the process that was left")
        (left,) = pids_of(words)
        half = halves(process.pid)
        pid = supervisor_of(shared, left) if victim == "supervisor" else half[0]
        os.kill(pid, signal.SIGKILL)
        until(lambda: not pids_of(words), "its end")
        until(lambda: not halves(process.pid), "the end of home's half")


@levels
def test_the_terminal_stays(terminal: MakeTerminal, level: str) -> None:
    """What is left writes to the terminal, and is the shell's job no more."""
    tty = terminal(level)
    os.mkfifo(tty.folder / "go")
    tty.line("$G sh -c '(read x <go; echo $(stty size) late) </dev/tty & echo now'")
    tty.shows("now")
    tty.prompt()
    tty.resize(30, 99)
    (tty.folder / "go").write_text("go\n")
    tty.matches("30 99 late$")


@levels
def test_orphans_do_not_take_the_terminal(terminal: MakeTerminal, level: str) -> None:
    """When the program has ended its group is orphaned: a read fails (EIO), nothing stops."""
    tty = terminal(level)
    (tty.folder / "p.py").write_text(
        "import os, sys, time\n"
        "if os.fork(): os._exit(0)\n"
        "while os.getppid() == int(sys.argv[1] if sys.argv[1:] else 0): pass\n"
        "parent = os.getppid()\n"
        "while not os.path.exists('go'): time.sleep(0.02)\n"
        "try: got = repr(os.read(0, 9))\n"
        "except OSError as error: got = error.strerror\n"
        "with open('new', 'w') as file: file.write(got)\n"
        "os.rename('new', 'got')\n"
    )
    tty.line("$G $PYTHON p.py")
    tty.prompt()
    assert tty.run("echo mine") == ["mine"]
    (tty.folder / "go").touch()
    until(lambda: (tty.folder / "got").exists(), "what the read gave")
    assert (tty.folder / "got").read_text() == "Input/output error"


@levels
def test_keys_do_not_reach_what_is_left(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level)
    tty.line("$G sh -c 'sleep 64.5 & echo now'")
    tty.shows("now")
    tty.prompt()
    tty.type("\x03")
    tty.prompt()
    assert set(states_of("sleep 64.5")) == {"S"}
    tty.run("kill $(pgrep -f 'sleep 64.5') 2>/dev/null; true")
    for pid in pids_of("sleep 64.5"):
        os.kill(pid, signal.SIGKILL)
    tty.until_gone("sleep 64.5")


def test_many_short_processes(shared: Cluster) -> None:
    """Nothing of them is left at home or on the node (the leak checks)."""
    count = 5000 if os.environ.get("GLUNIX_LONG") else 300
    line = f"i=0; while [ $i -lt {count} ]; do /bin/true; i=$((i+1)); done; (/bin/true &); echo $i"
    ran = shared.glurun("-T", "sh", "-c", line, timeout=300)
    assert (ran.status, ran.text) == (0, str(count))
