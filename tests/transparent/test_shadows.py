"""Processes that a transparent job forks have shadows at home: numbers, signals, groups, names.

Each line is run at home and under -T; what is looked at from home (ps, kill, pgrep) must find the
same.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.cluster import NOBODY, Cluster, as_user, is_shadow, read_line, until

from glunix.home.processes import forkserver_build
from glunix.node.processes.pid_allocator import LONGEST_BLOCK

from .compare import NATIVE, TRANSPARENT, Both
from .terminal import Terminal

MakeTerminal = Callable[..., Terminal]

LONG = bool(os.environ.get("GLUNIX_LONG"))
levels = pytest.mark.parametrize("level", [NATIVE, TRANSPARENT], ids=["native", "T"])

USER = pwd.getpwuid(NOBODY).pw_name
FORKS = 5000 if LONG else 300

WAIT = "n=0; until [ -s up ] || [ $n -gt 500 ]; do sleep 0.02; n=$((n+1)); done; "
"""A home shell waits for the job's first word."""


@pytest.fixture(autouse=True)
def _spaces(shared: Cluster) -> None:
    if "pid" not in next(iter(shared.nodes().values())).isolated:
        pytest.skip("no PID namespaces here: a job has the node's pids (glunix doctor)")
    found = forkserver_build.PROGRAM.built(str(shared.folder))
    assert found, "no program to be a shadow was built: no gcc, or its build failed"


def shadows(cluster: Cluster) -> list[int]:
    """Of this cluster's jobs."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and is_shadow(int(entry.name)):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{entry.name}/environ").read_bytes()
                if f"GLUNIX_DIR={cluster.folder}".encode() in words:
                    found.append(int(entry.name))
    return found


# -- numbers -----------------------------------------------------------------------------------


MOVES = "import os, sys, time\nos.setpgid(0, 0)\nopen('up', 'w').write('x')\ntime.sleep(30)\n"


@levels
def test_home_has_the_same_numbers(both: Both, level: str) -> None:
    """ps of the same pids, at home and inside: process group and session are the same."""
    job = (
        "sleep 30 & echo $! >>pids; (setsid sleep 31 & echo $! >>pids; wait) & "
        "$PYTHON p.py & echo $! >>pids; until [ -s up ]; do sleep 0.02; done; "
        "ps -o pid=,pgid=,sid= -p $(paste -sd, pids) >inside; echo x >looked; wait"
    )
    line = (
        f"cat >p.py <<'E'\n{MOVES}E\ncat >job <<'E'\n{job}\nE\n"
        f"$G sh job & {WAIT.replace('up', 'looked')} "
        "ps -o pid=,pgid=,sid= -p $(paste -sd, pids) >outside; "
        "kill $(cat pids); wait; cat inside; echo; cat outside"
    )
    seen = both.run(line, level, timeout=30)
    inside, _, outside = seen.text.partition("\n\n")
    assert len(inside.split("\n")) == 3, seen
    assert inside.split() == outside.split(), seen


DAEMON = (
    "import os, subprocess, sys, time\n"
    "def tell(): print(os.getpid(), file=open('pids', 'a', 1))\n"
    "if os.fork(): os._exit(0)\n"
    "os.setsid()\n"
    "if os.fork(): os._exit(0)\n"  # as daemon(3), twice: nobody leads the session any more
    "tell()\n"
    "if os.fork() == 0: tell(); time.sleep(60)\n"
    "if os.fork() == 0:\n"
    "    os.setpgid(0, 0); tell()\n"
    "    os.execlp('sh', 'sh', '-c', 'sleep 61.9 & echo $! >>pids; wait')\n"
    "one = subprocess.Popen(['sleep', '62.1'])\n"
    "print(one.pid, file=open('pids', 'a', 1))\n"
    "time.sleep(60)\n"
)


@levels
def test_a_daemons_processes_are_in_its_session(both: Both, level: str) -> None:
    """At home, too: ps shows the numbers that it shows inside; a group is ended by its number."""
    look = "ps -o pid=,pgid=,sid= -p $(sort -n pids | paste -sd,)"
    count = "n=0; until [ $(wc -l <pids) = 5 ] || [ $n -gt 500 ]; do sleep 0.02; n=$((n+1)); done"
    line = (
        f"cat >p.py <<'E'\n{DAEMON}E\n: >pids; "
        f"$G sh -c '$PYTHON p.py; {count}; {look} >inside; echo x >looked; exec sleep 60.3' & "
        f"{WAIT.replace('up', 'looked')} {look} >outside; "
        "kill -TERM -- -$(sort -n outside | awk '$2 == $3 {print $2; exit}'); n=0; "
        f"until [ $({look} | wc -l) = 2 ] || [ $n -gt 100 ]; do sleep 0.02; n=$((n+1)); done; "
        f"{look} >rest; kill $(cat pids) $! 2>/dev/null; wait; cat inside; echo; cat outside; "
        "echo; cat rest"
    )
    seen = both.run(line, level, timeout=40)
    inside, outside, rest = (part.splitlines() for part in seen.text.split("\n\n"))
    assert len(inside) == 5 and len({row.split()[2] for row in inside}) == 1, seen
    assert [row.split() for row in inside] == [row.split() for row in outside], seen
    assert len(rest) == 2, seen


LEADER = (
    "import os, signal, subprocess, sys, time\n"
    "def tell(): print(os.getpid(), file=open('pids', 'a', 1))\n"
    "early = subprocess.Popen(['sleep', '62.2'])\n"
    "os.setsid(); tell()\n"
    "if os.fork() == 0:\n"
    "    tell(); signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    "    if os.fork() == 0: tell(); time.sleep(60)\n"
    "    os.setpgid(0, 0); time.sleep(60)\n"
    "if os.fork() == 0:\n"
    "    os.setsid(); tell()\n"
    "    os.execlp('sh', 'sh', '-c', 'sleep 62.3 & echo $! >>pids; wait')\n"
    "for pid in (subprocess.Popen(['sleep', '62.4']).pid, early.pid):\n"
    "    print(pid, file=open('pids', 'a', 1))\n"
    "while sum(1 for _ in open('pids')) < 7: time.sleep(0.01)\n"
    "with open('inside', 'w') as file:\n"
    "    subprocess.run(sys.argv[1], shell=True, stdout=file)\n"
    "open('looked', 'w').write('x')\n"
    "sys.argv[2:] or time.sleep(60)\n"
)


@levels
@pytest.mark.parametrize("outlived", ["", "x"], ids=["while it runs", "when it has ended"])
def test_who_made_a_session_itself_is_in_it_with_its_children(
    both: Both, level: str, outlived: str
) -> None:
    """The program too, whose shadow is the shell's child; a script's `glurun -T setsid ...`."""
    pids = "$(sort -n pids | paste -sd,)"
    rows = f"ps -o pid=,pgid=,sid= -p {pids}"
    alive = f"ps -o stat=,pid=,pgid= -p {pids} | grep -v ^Z"  # nobody may wait for orphans here
    line = (
        f"cat >p.py <<'E'\n{LEADER}E\n: >pids; $G $PYTHON p.py '{rows}' {outlived} & "
        f"{WAIT.replace('up', 'looked')} "
        + ("wait $!; " if outlived else "")
        + f"{rows} >outside; own=$(head -1 pids); "
        "kill -TERM -- -$own; n=0; "
        f"until [ $({alive} | awk -v g=$own '$3 == g' | wc -l) = 0 ] || [ $n -gt 100 ]; "
        "do sleep 0.02; n=$((n+1)); done; "
        f"{alive} >rest; kill -9 $(cat pids) 2>/dev/null; wait; "
        "cat inside; echo; cat outside; echo; cat rest"
    )
    seen = both.run(line, level, timeout=40)
    inside, outside, rest = (part.splitlines() for part in seen.text.split("\n\n"))
    assert len(inside) == 7 and len({row.split()[2] for row in inside}) == 3, seen
    assert len(rest) == 4, seen
    if outlived:
        inside = inside[1:]  # the program: it came first
    assert [row.split() for row in inside] == [row.split() for row in outside], seen


def test_an_ordinary_user_has_the_same_sessions(shared: Cluster) -> None:
    """The program that makes shadows may choose pids, whoever runs it: root has let it."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    job = (
        'setsid sh -c \'sleep 61.4 & sh -c "sleep 61.5; :" & until [ $(ps -o pid= -s $$ | wc -l) '
        "-ge 5 ]; do sleep 0.02; done; echo $$; ps -o pid=,pgid=,sid= -s $$; exec sleep 61.6'"
    )
    with shared.start("glurun", "-T", "sh", "-c", job, uid=NOBODY) as process:
        session = int(read_line(process))
        inside = [read_line(process).split() for _ in range(5)][:4]  # ps itself is the last
        outside = [
            row[:3]
            for row in _ps(f"-o pid=,pgid=,sid=,user=,args= -s {session}")
            if row[3] == USER and row[4] != "glurun:"
        ]
        os.killpg(session, signal.SIGTERM)
        assert outside == inside and len(inside) == 4
        assert process.wait(20) == 143


def test_a_daemons_group_can_be_signalled_by_anybody(shared: Cluster) -> None:
    """Who may not choose pids at home has no sessions there, but groups."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    job = "setsid sh -c 'sleep 61.7 & sleep 61.8 & echo $$; exec sleep 61.9'; echo $?"
    words = [str(shared.bin / "glurun"), "-T", "sh", "-c", job]
    user = [*as_user(NOBODY)[:-1], "--no-new-privs", "--"]  # no rights of files
    folder = {"GLUNIX_DIR": str(shared.folder)}
    with shared.start(*user, *words, uid=os.geteuid(), env=folder) as process:
        group = int(read_line(process))

        def members() -> list[str]:
            found = _ps("-e -o pgid=,user=,args=")
            return [words[-1] for one, user, *words in found if (one, user) == (str(group), USER)]

        until(lambda: sorted(members())[:2] == ["61.7", "61.8"], "its children's shadows")
        assert {row[0] for row in _ps(f"-o sid= -p {group}")} != {str(group)}
        os.killpg(group, signal.SIGTERM)
        assert read_line(process) == "143"
        assert process.wait(20) == 0


def test_many_sessions_leave_nothing(shared: Cluster) -> None:
    """Each session that a job made has somebody at home who forks its shadows."""
    line = f"i=0; while [ $i -lt {FORKS // 3} ]; do setsid sh -c 'true; true'; i=$((i+1)); done"
    with shared.start("glurun", "-T", "sh", "-c", f"{line}; echo up; exec sleep 63.1") as process:
        assert process.stdout is not None
        process.stdout.readline()
        # What stands ready (the rest of a row, and the next one), and the sleep's.
        until(lambda: len(shadows(shared)) <= 2 * LONGEST_BLOCK + 10, "ended shadows are gone")
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    until(lambda: not shadows(shared), "no shadow is left")


@levels
def test_threads_and_processes_at_once(both: Both, level: str) -> None:
    """Every process has a number that its parent knows, also where threads take numbers too."""
    program = (
        "import os, threading, subprocess\n"
        "def forks():\n"
        "    for _ in range(10):\n"
        "        child = subprocess.Popen(['sh', '-c', 'echo $$'], stdout=subprocess.PIPE)\n"
        "        found.append(int(child.communicate()[0]) == child.pid)\n"
        "def threads():\n"
        "    for _ in range(30):\n"
        "        one = threading.Thread(target=lambda: None)\n"
        "        one.start(); one.join()\n"
        "found = []\n"
        "all = [threading.Thread(target=f) for f in (forks, threads, forks, threads)]\n"
        "[t.start() for t in all]; [t.join() for t in all]\n"
        "print(len(found), all and found.count(True))\n"
    )
    line = f"cat >p.py <<'E'\n{program}E\n$G $PYTHON p.py"
    assert both.run(line, level, timeout=60).text == "20 20"


def test_many_short_processes_leave_nothing(shared: Cluster) -> None:
    line = f"i=0; while [ $i -lt {FORKS} ]; do /bin/true; i=$((i+1)); done; ps -e -o pid= | wc -l"
    result = shared.run("glurun", "-T", "sh", "-c", line, timeout=240)
    assert result.status == 0 and int(result.text) <= 9, result
    until(lambda: not shadows(shared), "no shadow is left")


def test_a_fork_is_never_interrupted(both: Both) -> None:
    """dash hears of each child's end in a handler that does not restart calls."""
    both.same("$G sh -c 'i=0; while [ $i -lt 300 ]; do true & i=$((i+1)); done; wait; echo $i'")


# -- signals -----------------------------------------------------------------------------------

# pgrep -s 0: of home's session only. Where one machine is home and node, the job's own processes
# can be seen, too, and killed without any shadow.
SENT = {
    "one of two": (
        "$G sh -c 'sleep 50.1 & echo $! >pid; echo up >up; wait $!; echo $?; echo over' & "
        f"{WAIT} kill -USR1 $(cat pid); wait"
    ),
    "by its words": (
        "$G sh -c 'sleep 50.2 & echo up >up; wait $!; echo $?' & "
        f"{WAIT} until pgrep -s 0 -f '^sleep 50.2$' >/dev/null; do sleep 0.02; done; "
        "kill $(pgrep -s 0 -f '^sleep 50.2$'); wait"
    ),
    "by its words, after another exec": (
        "$G sh -c 'sh -c \"sleep 0.3; exec sleep 50.3\" & echo up >up; wait $!; echo $?' & "
        f"{WAIT} until pgrep -s 0 -f '^sleep 50.3$' >/dev/null; do sleep 0.02; done; "
        "kill $(pgrep -s 0 -f '^sleep 50.3$'); wait"
    ),
    "SIGKILL": (
        "$G sh -c 'sleep 50.4 & echo $! >pid; echo up >up; wait $!; echo $?' & "
        f"{WAIT} kill -9 $(cat pid); wait"
    ),
    "to a group": (
        "$G bash -c 'set -m; sleep 50.5 | sleep 50.6 & ps -o pgid= -p $! >pid; echo up >up; "
        "wait $!; echo $?' & "
        f"{WAIT} kill -TERM -- -$(xargs <pid); wait; pgrep -s 0 -f '^sleep 50.[56]$' | wc -l"
    ),
    "a daemon's": (
        "$G sh -c 'setsid sh -c \"echo \\$\\$ >pid; echo up >up; exec sleep 50.7\"; echo $?' & "
        f"{WAIT} ps -o pgid=,sid= -p $(cat pid) | xargs -n1 expr $(cat pid) =; "
        "kill -TERM -- -$(cat pid); wait"
    ),
    "to a handler, once": (
        '$G sh -c \'sh -c "trap \\"echo usr1 >>got\\" USR1; echo \\$\\$ >pid; echo up >up; '
        "n=0; while [ \\$n -lt 20 ]; do sleep 0.05; n=\\$((n+1)); done\"' & "
        f"{WAIT} kill -USR1 $(cat pid); wait; cat got"
    ),
    "to a group, of which nobody sees another die first": (
        "set -m; for i in 1 2 3 4 5 6 7 8 9 10; do rm -f up; "
        '$G sh -c \'sh -c "sh -c \\"sleep 0.1; echo up >up; sleep 50.8; :\\"; exit 4"; '
        f"exit 5' & {WAIT} kill %1; wait %1 2>/dev/null; echo $?; done 2>/dev/null"
    ),
    "stop, go on": (
        "$G sh -c 'sh -c \"echo \\$\\$ >pid; echo up >up; "
        "while :; do echo x >>log; sleep 0.02; done\"' & "
        f"{WAIT} kill -STOP $(cat pid); sleep 0.3; a=$(wc -l <log); sleep 0.3; b=$(wc -l <log); "
        "[ $a = $b ] && echo stopped; kill -CONT $(cat pid); sleep 0.4; "
        "[ $(wc -l <log) -gt $b ] && echo goes on; kill $(cat pid); wait; echo $?"
    ),
    "go on, and a stop that it ignores right behind": (  # which takes the SIGCONT back
        '$G sh -c \'trap "" TTIN; sh -c "echo \\$\\$ >pid; echo up >up; '
        "while :; do echo x >>log; sleep 0.02; done\"' & "
        f"{WAIT} kill -STOP $(cat pid); sleep 0.3; a=$(wc -l <log); sleep 0.3; b=$(wc -l <log); "
        "[ $a = $b ] && echo stopped; "
        "$PYTHON -c 'import os, sys; [os.kill(int(sys.argv[1]), n) for n in (18, 21)]' $(cat pid); "
        "n=0; until [ $(wc -l <log) -gt $b ] || [ $n -gt 200 ]; do sleep 0.02; n=$((n+1)); done; "
        "[ $(wc -l <log) -gt $b ] && echo goes on; kill $(cat pid); wait; echo $?"
    ),
    "go on, once, with what came before": (
        '$G sh -c \'sh -c "trap \\"echo usr1 >>got\\" USR1; trap \\"echo cont >>got\\" CONT; '
        "echo \\$\\$ >pid; echo up >up; while [ ! -s over ]; do sleep 0.02; done\"' & "
        f"{WAIT} kill -STOP $(cat pid); sleep 0.3; "
        "$PYTHON -c 'import os, sys; [os.kill(int(sys.argv[1]), n) for n in (10, 18)]' $(cat pid); "
        "n=0; until [ -s got ] && [ $(wc -l <got) -ge 2 ] || [ $n -gt 200 ]; "
        "do sleep 0.02; n=$((n+1)); done; sleep 0.3; sort got; echo x >over; wait"
    ),
    "stop the program alone, go on": (
        "$G sh -c 'echo up >up; while :; do echo x >>log; sleep 0.02; done' & "
        f"{WAIT} kill -STOP $!; sleep 1.2; a=$(wc -l <log); sleep 0.3; b=$(wc -l <log); "
        "[ $a = $b ] && echo stopped; kill -CONT $!; sleep 0.5; "
        "[ $(wc -l <log) -gt $b ] && echo goes on; kill $!; wait $!; echo $?"
    ),
}


@pytest.mark.parametrize("name", SENT)
def test_sent_from_home(both: Both, name: str) -> None:
    both.same(SENT[name], timeout=40)


@levels
def test_keyboard_reaches_every_member_once(terminal: MakeTerminal, level: str) -> None:
    tty = terminal(level, cols=120)
    (tty.folder / "q").write_text(
        "import os, signal, sys, time\n"
        "got = []\n"
        "signal.signal(signal.SIGINT, lambda *_: got.append(1))\n"
        "ready, told = os.pipe()\n"
        "child = os.fork()\n"  # Python forgets in the child what came meanwhile
        "if child: os.read(ready, 1); print('it runs', flush=True)\n"
        "else: os.write(told, b'x')\n"
        "end = time.monotonic() + 2\n"
        "while time.monotonic() < end: time.sleep(0.05)\n"
        "open(f'got{bool(child)}', 'w').write(str(len(got)))\n"
        "if child: os.wait(); print()\n"
    )
    tty.line("$G $PYTHON q")
    tty.shows("it runs")
    tty.type("\x03")
    tty.prompt()
    assert [(tty.folder / f"got{who}").read_text() for who in (True, False)] == ["1", "1"]


# -- groups and sessions -----------------------------------------------------------------------


@levels
def test_job_control_inside_is_seen_at_home(terminal: MakeTerminal, level: str) -> None:
    """An interactive shell in the job: its jobs are process groups of home's terminal."""
    tty = terminal(level, cols=120)
    tty.line("PS1='> ' $G bash --norc -i")
    tty.matches("^>")
    tty.line("sleep 60.7 & echo $! >back; sh -c 'echo $$ >fore; sleep 60.8; :'")
    tty.until(lambda: (tty.folder / "fore").exists() and (tty.folder / "fore").read_text(), "it")
    back, fore = ((tty.folder / name).read_text().strip() for name in ("back", "fore"))
    outside = _ps(f"-o pid=,pgid=,tpgid=,sid= -p {back},{fore}")
    shell = str(tty.child.pid)
    assert sorted(outside) == sorted([[back, back, fore, shell], [fore, fore, fore, shell]])
    tty.type("\x1a")
    tty.matches(r"Stopped +sh -c")
    tty.line("ps -o pid=,pgid=,sid= -p $(cat back),$(cat fore) >inside; echo =ok")
    tty.shows("=ok")
    inside = [line.split() for line in (tty.folder / "inside").read_text().splitlines()]
    assert sorted(inside) == sorted([[back, back, shell], [fore, fore, shell]])
    os.kill(-int(back), signal.SIGTERM)  # kill -- -PGID from home
    tty.until_gone("sleep 60.7")
    tty.line("fg")
    tty.until(lambda: _ps(f"-o tpgid= -p {fore}") == [[fore]], "the foreground")
    tty.type("\x03")
    tty.until_gone("sleep 60.8")
    tty.line("exit 5")
    tty.prompt()
    assert tty.run("echo $?") == ["5"]


def _ps(options: str) -> list[list[str]]:
    ran = subprocess.run(["ps", *options.split()], capture_output=True, text=True, timeout=20)
    return [line.split() for line in ran.stdout.splitlines()]


def test_a_killed_half_takes_all_shadows_along(shared: Cluster) -> None:
    with shared.start("glurun", "-T", "sh", "-c", "sleep 61.1 & echo up; wait") as process:
        assert process.stdout is not None
        process.stdout.readline()
        until(lambda: shadows(shared), "shadows")
        os.kill(_half_of(process.pid), signal.SIGKILL)
        assert process.wait(20) == -9
    until(lambda: not shadows(shared), "no shadow is left")


def _half_of(startup: int) -> int:
    (half,) = re.findall(r"\d+", Path(f"/proc/{startup}/task/{startup}/children").read_text())
    return int(half)
