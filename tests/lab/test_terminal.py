"""A person in an ssh session on home: what is typed there, and programs that take the screen."""

from __future__ import annotations

import pytest
from e2e.terminal import Terminal

from lab.asking import ann, done
from lab.machines import Machine

pytestmark = pytest.mark.vm


def test_type_ahead_and_job_control(shell: Terminal) -> None:
    """What is typed for the shell reaches the shell; ^Z, fg and ^C do what they do at home."""
    # Before each line: a sign that the shell's line editor has left the terminal to the job; and
    # with LF, for a CR that is typed before would stay one (no ICRNL).
    shell.line("glurun -T -w node1 sh -c 'echo begun; read x; echo got:$x'")
    shell.expect("\r\nbegun")
    shell.send("first\n")
    shell.line("echo second:$?")
    shell.expect("\r\ngot:first")
    shell.expect("\r\nsecond:0")
    shell.expect("home> ")
    shell.line("glurun -T -w node2 sh -c 'echo begun; exec sed -u s/^/=/'")
    shell.expect("\r\nbegun")
    shell.send("typed\n")
    shell.expect("=typed")
    shell.control("z")
    shell.expect("Stopped")
    shell.expect("home> ")
    shell.line("fg")
    shell.expect("\r\nglurun -T -w node2")
    shell.send("again\n")
    shell.expect("=again")
    shell.control("c")
    shell.expect("home> ")
    shell.line("echo was:$?")
    shell.expect("\r\nwas:130")
    shell.line("exit 5")
    assert shell.ended() == 5


def test_vim(home: Machine, shell: Terminal) -> None:
    """An editor on a node, in a terminal at home, on a file at home."""
    done(ann(home, "rm", "-f", "letter"))
    shell.line("glurun -T -w node2 vi letter")
    shell.expect('"letter"')  # its last line names the file when it has drawn its screen
    shell.send("iDear node,\rit is I.\x1b:wq\r")
    shell.expect("home> ")
    shell.line("echo was:$?")
    shell.expect("\r\nwas:0")
    assert done(ann(home, "cat", "letter")) == "Dear node,\nit is I."


def test_less(home: Machine, shell: Terminal) -> None:
    """Pages, a search, and keys from the terminal while its input is a pipe."""
    done(ann(home, "sh", "-c", "seq -f 'line %g' 100 >lines"))
    shell.line("glurun -T -w node1 less lines")
    shell.expect("line 23\r\n")
    shell.send(" ")
    shell.expect("line 46\r\n")
    shell.send("/e 77\n")
    shell.expect("line 99\r\n")
    shell.send("q")
    shell.expect("home> ")
    shell.line("seq 300 | glurun -T -w node2 less; echo wa''s:$?")
    shell.expect("\r\n23\r\n")
    shell.send("G")
    shell.expect("300\r\n")
    shell.send("q")
    shell.expect("was:0\r\n")
    shell.expect("home> ")
