"""Random shell lines whose outcome natively does not depend on time.

`line(dice)` is for bash at home; `$G` stands before each command of it that is to run on a node,
and `$PYTHON` for an interpreter. Nobody writes into a pipe that its reader leaves early, no two
write to one place at once, and every child is waited for.
"""

from __future__ import annotations

import shlex
from random import Random

WORDS = ("one", "two words", "-n", "*", "ä", "x" * 200)
NAMES = ("f1", "f2", "f3")
READERS = (
    "cat", "wc -c", "sort", "tail -n 2", "tr a-z A-Z", "sed s/a/b/", "grep -c .", "od -An -c",
    "cat -n", "rev", "tee f3", "xargs -n1 echo", "while read -r l; do echo \"[$l]\"; done",
)  # fmt: skip
"""They read all there is."""

PARTS = (
    "read x; echo \"<$x>\"", "head -c 3", "dd bs=1 count=5 2>/dev/null", "head -n 1",
    "IFS= read -r x; printf '%s|' \"$x\"", "$PYTHON -c 'import os; print(os.read(0, 4))'",
    "$PYTHON -c 'import sys; print(repr(sys.stdin.readline()))'", "sed -n '1p;1q'", "cat",
    "[ -t 0 ]; echo $?", "(exec <&-; cat 2>/dev/null); echo $?",
    "$PYTHON -c 'import select; print(select.select([0], [], [], 5)[0])'",
    "read -t 3 x; echo \"$x\"", "cat /dev/stdin | wc -c", "cp /dev/stdin f2; cat f2",
)  # fmt: skip
"""They read some of standard input, or none."""

PLAIN = (
    "true", "false", "exit 3", "echo $#", "sh -c 'kill -TERM $$'; echo $?",
    "sh -c 'kill -9 $$'; echo $?",
    "sh -c 'trap \"echo trapped\" USR1; kill -USR1 $$; echo after'", "trap 'echo bye $?' EXIT",
    "sh -c 'kill -USR1 $PPID' & wait $!; echo $?", "sh -c 'kill -0 $PPID'; echo $?",
    "umask 027; : >f1; stat -c %a f1", "ulimit -n", "pwd | wc -l", "set -e", "cd /; pwd; cd - >f3",
    "sleep 0.01 & wait; echo $?", "(exit 4) & wait $!; echo $?", "setsid -w sh -c 'echo s; exit 7'",
    "[ $PPID = $(ps -o ppid= -p $$) ]; echo $?", "ps -o comm= -p $$", "nice -n 3 nice", "hostname",
    "timeout 5 sh -c 'exit 6'; echo $?", "timeout -s USR1 0.1 sleep 5; echo $?",
    "test -w /dev/null",
    "(trap '' TERM; sh -c 'kill $$; echo alive')", "echo a >f1; echo b >>f1; cat f1; rm f1",
    "stat -L -c '%F' /dev/fd/0 /dev/fd/1 | sed s/fifo/pipe/", "stty size 2>/dev/null; echo $?",
    "kill -l 9", "seq 3 | while read i; do echo $i; done",
    "env -i sh -c 'echo ${HOME-none}'", "sh -c 'ulimit -c 0; kill -SEGV $$'; echo $?",
    "nosuchcommand; echo $?", "sh -c 'exec /dev/null'; echo $?", "echo to both | tee /dev/stderr",
    "mkfifo p; echo through >p & cat p; wait; rm p", "sh -c 'echo $$ $PPID' | wc -w",
    "$PYTHON -c 'import os; print(os.getpgid(0) == os.getpgrp(), os.getsid(0) > 0)'",
    "$PYTHON -c 'import os; os.write(1, b\"a\"); os.write(2, b\"b\"); os._exit(2)'; echo $?",
    "$PYTHON -c 'import os, signal; signal.raise_signal(15)'; echo $?",
    "$PYTHON -c 'import subprocess as s; print(s.run([\"cat\"], input=b\"in\", stdout=-1).stdout)'",
    "$PYTHON -c 'import multiprocessing as m; p = m.Process(target=print); p.start(); p.join()'",
)  # fmt: skip

BASH = (
    "cat <(echo of a process)", "echo to >(cat >f2); wait $!; cat f2", "exit 3 & wait -n; echo $?",
    "coproc cat; echo co >&${COPROC[1]}; read -u ${COPROC[0]} x; echo $x", "echo ${BASHPID:+pid}",
    "set -o pipefail; false | cat; echo $?", "mapfile -t m; echo ${#m[@]}", "read -N 4 x; echo $x",
    "exec 5>f1; echo five >&5; exec 5>&-; cat f1", "time -p true 2>/dev/null", "wait 2>f3; echo $?",
    "trap 'echo $BASH_COMMAND' DEBUG; :; trap - DEBUG", "echo $(<f3)", "cat <<<'here'",
    "set -m; sleep 0.01 & fg 2>/dev/null; jobs", "printf -v x %03d 7; echo $x", "kill %9; echo $?",
)  # fmt: skip


class Scripts:
    """Makes pieces of scripts."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    def _any(self, *words: str) -> str:
        return self._dice.choice(words)

    def statement(self, depth: int, bash: bool) -> str:
        """One statement; what it starts it has waited for."""
        inner = lambda: self.body(depth - 1, bash)  # noqa: E731
        simple = [
            lambda: "echo " + shlex.quote(self._any(*WORDS)),
            lambda: "echo " + shlex.quote(self._any(*WORDS)) + " >&2",
            lambda: self._any(*PARTS),
            lambda: self._any(*PLAIN),
            lambda: self._any(*PLAIN),
            lambda: self._any(*(BASH if bash else PLAIN)),
        ]
        nested = [
            lambda: f"({inner()})",
            lambda: f"{{ {inner()}; }} | {self._any(*READERS)}",
            lambda: f'x=$( {inner()} ); echo "=$?"; echo "$x"',
            lambda: f"({inner()}) </dev/null & wait $!; echo $?",
            lambda: f"sh -c {shlex.quote(self.body(depth - 1, False))}; echo $?",
            lambda: f"bash -c {shlex.quote(self.body(depth - 1, True))}",
            lambda: f"if {inner()}; then {inner()}; else {inner()}; fi",
            lambda: f"for i in 1 2; do {inner()}; done",
            lambda: f"{{ {inner()}; }} {self.redirection()}",
            lambda: f"exec {self.redirection()}",
            lambda: f"({inner()}) <<'E'\nfirst\nsecond\nE\n:",
        ]
        return self._dice.choice(simple + nested if depth > 0 else simple)()

    def redirection(self) -> str:
        """Of one descriptor or two."""
        name = self._any(*NAMES)
        return self._any(
            f">{name}", f">>{name}", f"2>{name}", "2>&1", ">&2", f">{name} 2>&1", "</dev/null",
            ">/dev/null", f"<>{name}", f"3<>{name}", "2>/dev/null", f">{name} 2>>{name}",
        )  # fmt: skip

    def body(self, depth: int, bash: bool) -> str:
        """Statements, one a line."""
        return "\n".join(self.statement(depth, bash) for _ in range(self._dice.randint(1, 3)))

    def job(self) -> str:
        """A command that runs on a node."""
        shell = self._any("sh", "sh", "bash")
        return f"$G {shell} -c {shlex.quote(self.body(2, shell == 'bash'))}"

    def line(self) -> str:
        """Jobs and commands of home's."""
        job = self.job
        made = [
            lambda: f'printf \'%s\' "$D" | {{ {job()}; echo "=$?"; cat; }}',
            lambda: f'{{ {job()}; echo "=$?"; cat; }} <input',
            lambda: (
                f"{{ {job()}; cat >/dev/null; }} <input 2>/dev/null | "
                f"$G {self._any(*READERS[:10])} | cat; echo $?"
            ),
            lambda: f"{job()} <input >out 2>err; echo $?; cat out err",
            lambda: f"{job()} <input >>out 2>>err; echo $?; cat out err",
            lambda: f"{job()} </dev/null & wait $!; echo $?",
            lambda: f'x=$({job()} <input); echo "$?$x"',
            lambda: f"exec 3<input; {job()} <&3; cat <&3",
            lambda: f"$G bash -c {shlex.quote(self._any(*PARTS, *PLAIN))} <&-; echo $?",
            lambda: f"trap 'echo home' USR1; {job()} <input; echo $?",
            lambda: f"if {job()} <input; then echo yes; else echo no; fi",
            lambda: f"({job()}; {job()}; echo rest; cat) <input",
            lambda: f"while read -r l; do {job()}; done <input",
        ]
        return self._dice.choice(made)()


DATA = "".join(f"line {number} of the input\n" for number in range(12)) + "no end of line"


def line(dice: Random) -> str:
    """One line, with what it needs."""
    begin = f"D={shlex.quote(DATA)}; printf '%s' \"$D\" >input; : >f1; : >f2; : >f3\n"
    show = '\nfor f in f1 f2 f3; do echo "- $f"; cat $f; done'
    return begin + Scripts(dice).line() + show


SIGNALS = ("TERM", "INT", "HUP", "USR1", "USR2", "QUIT", "STOP", "KILL", "ALRM", "CONT", "TSTP")


def _shell(dice: Random, level: int) -> str:
    """A tree of shells with traps, one in the other; each tells its pid and how it went on."""
    mine = dice.sample(SIGNALS[:6], dice.randint(0, 2))
    traps = "".join(
        f"trap '{dice.choice((f'echo {level} {name}', '', 'exit 9'))}' {name}\n" for name in mine
    )
    begin = f"{traps}echo $$ >p{level}\n"
    if level == 0:
        return begin + "sleep 0.1\necho up >up\n" + dice.choice(("exec sleep 1.2", "sleep 1.2; :"))
    child = f"{dice.choice(('sh', 'sh', 'bash'))} -c {shlex.quote(_shell(dice, level - 1))}"
    how = dice.choice(
        (
            child,
            child,
            f"{child} & wait $!",
            f"{child} | cat",
            f"({child})",
            f"x=$({child}); echo $x",
        )
    )
    return f"{begin}{how}\necho {level} says $?\n"


def signals(dice: Random) -> str:
    """A job that home sends signals to: to the program, its group, or one of its processes."""
    depth = dice.randint(1, 2)
    job = f"$G sh -c {shlex.quote(_shell(dice, depth))}"
    targets = ("$J", "%1", "-$J", *(f"$(cat p{level})" for level in range(depth + 1)))
    sent = []
    for _ in range(dice.randint(1, 3)):
        name, target = dice.choice(SIGNALS), dice.choice(targets)
        sent.append(f"kill -{name} {target} 2>/dev/null; sleep 0.3")
        if name in ("STOP", "TSTP"):
            sent.append(f"kill -CONT {target} 2>/dev/null; sleep 0.1")
    wait = "n=0; until [ -s up ] || [ $n -gt 500 ]; do sleep 0.02; n=$((n+1)); done; sleep 0.1"
    return (
        f"exec 2>/dev/null; set -m\n{job} >out & J=$!; {wait}\n"
        + "\n".join(sent)
        + "\nwait $J; echo $?; wait\nsleep 1.3; cat out"
    )
