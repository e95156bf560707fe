"""Descriptors opened once more by name (/dev/stdout, /proc/PID/fd/N): new open files as at home."""

from __future__ import annotations

import pytest
from e2e.cluster import TESTED_USER

from .compare import NATIVE, TRANSPARENT, Both

OUTPUTS = [
    "$G sh -c 'echo first; echo second >/dev/stdout; echo third' >f",
    "$G sh -c 'echo first; echo 2 >>/dev/stdout; echo third' >f",
    "$G sh -c 'echo first; echo 2 >>/dev/stdout; echo third' >>f",
    "$G sh -c 'echo out; echo error one; echo err >/dev/stderr; echo x >&2' >f 2>g; cat g",
    "$G sh -c 'echo out; echo err >/dev/stderr; echo more' >f 2>&1",
    "echo kept >f; $G sh -c 'echo first; echo 2 >/dev/fd/1; echo third' >>f",
    "exec 5>f; $G sh -c 'echo first >&5; echo 2 >/proc/self/fd/5; echo third >&5'",
    "$G bash -c 'echo first; echo 2 >/proc/$$/fd/1; echo third' >f",
    "$G bash -c 'echo one; exec 7>>/dev/stdout; echo two >&7; echo 3 >&7; exec 7>&-; echo 4' >f",
    "$G dd if=/dev/zero of=/dev/stdout bs=5 count=1 status=none >f",
    "echo abcdefgh >f; $G dd if=/dev/zero of=/dev/stdout bs=2 count=1 conv=notrunc seek=1"
    " status=none 1<>f",
    "$G sh -c 'seq 3 | tee /dev/stderr' >f 2>g; cat g",
    "$G sh -c 'seq 50000 | tee /dev/stderr | md5sum' >f 2>g; md5sum g",
    "$G sh -c 'seq 50000 >/dev/stdout' >f; md5sum f",
    "$G sh -c 'for n in 1 2 3 4 5; do echo $n >>/dev/stdout; echo old; done' >>f",
    "$G sh -c 'echo a >/dev/stdout; (echo b >/dev/stdout; echo c) & wait; echo d' >f",
    "$G sh -c ': >/dev/stdout; echo x' >f",
    "echo old >f; $G sh -c ': >>/dev/stdout' >>f",
    "$G $PYTHON -c 'import os; fd = os.open(\"/dev/stdout\", os.O_WRONLY); os.write(fd, b\"abc\");"
    " print(os.lseek(fd, 0, 1), os.fstat(fd).st_size, os.lseek(1, 0, 1), flush=True);"
    " os.ftruncate(fd, 4); print(os.pwrite(fd, b\"X\", 2), os.fstat(1).st_size)' >f",
    "$G $PYTHON -c 'import os\nfor n in range(200):\n os.write(1, b\"%d\\n\" % n)\n"
    " fd = os.open(\"/dev/stdout\", os.O_WRONLY | os.O_APPEND)\n"
    " os.write(fd, b\"-%d\\n\" % n)\n os.close(fd)' >>f",
    "$G sh -c 'echo written >&2; cat /dev/stderr; echo more >&2; cat /dev/fd/2' </etc/group 2>f",
    "$G sh -c 'exec 3</dev/stdout; echo a; read x <&3; echo $x >&2; echo b; cat <&3 >&2'"
    " </etc/group >f",
    "$G sh -c 'echo x >/dev/stdout && echo $? >&2' >f; chmod 400 f; exec 5<f;"
    " $G sh -c 'cat </dev/fd/5'",
]  # fmt: skip


@pytest.mark.parametrize("line", OUTPUTS)
def test_an_output(both: Both, line: str) -> None:
    both.same(f"{line}; cat f")


INPUTS = [
    "$G sh -c 'read a; echo $a; cat /dev/stdin; read b; echo $b' <f",
    "$G sh -c 'read a; head -n 2 </dev/fd/0; read b; echo $a $b'; read c; echo $c",
    "exec 5<f; $G sh -c 'read a <&5; read b </proc/self/fd/5; read c <&5; echo $a $b $c'",
    "$G wc -l /dev/stdin <f; $G sort -rn /dev/stdin <f | head -n1; $G tail -n 2 /dev/stdin <f",
    "$G grep -c 1 /dev/stdin - <f; $G cmp /dev/stdin f <f && echo same",
    "$G sh -c 'cat; cat /dev/stdin; cat </dev/stdin; cat' <f | md5sum",
    "$G $PYTHON -c 'import os; fd = os.open(\"/dev/stdin\", 0); print(os.read(0, 4),"
    " os.read(fd, 4), os.pread(fd, 3, 5), os.lseek(fd, 0, 1), os.lseek(0, 0, 1),"
    " os.fstat(fd).st_size); other = os.open(f\"/dev/fd/{fd}\", 0); print(os.read(other, 3))' <f",
    "$G sh -c 'echo new >/dev/stdin; cat' <f; cat f",
    "$G $PYTHON -c 'for n in range(200): assert len(open(\"/dev/stdin\").read()) == 48894' <f",
]  # fmt: skip


@pytest.mark.parametrize("line", INPUTS)
def test_an_input(both: Both, line: str) -> None:
    both.same(f"seq 10000 >f; {{ {line}; }} <f")


def test_an_output_is_not_waited_for(both: Both) -> None:
    """Where there is no input that is a file, it cannot be read by name: that is said at once."""
    if not TESTED_USER:
        pytest.skip("root may open everything (GLUNIX_TEST_USER)")
    line = "$G sh -c 'echo written >&2; timeout 9 cat /dev/fd/2; echo $?' 2>f; tail -n 1 f"
    assert both.run(line, NATIVE).text.split() == ["written", "0", "written"]
    ours = both.run(line, TRANSPARENT)
    assert ours.text.split("\n") == ["1", "cat: /dev/fd/2: Permission denied"], ours


def test_of_others_nothing_changes(both: Both) -> None:
    """Pipes and terminals are what they are when they are opened once more."""
    both.same("seq 3 | $G sh -c 'cat /dev/stdin; echo x >/dev/stdout; echo y >/dev/stderr' | cat")


def test_limits(both: Both) -> None:
    """And the order of all that is written where the job has to be careful."""
    turns = (
        "import os; fd = os.open(chr(47).join(['', 'dev', 'stdout']), os.O_WRONLY | os.O_APPEND)\n"
    )
    turns += "for n in range(100): os.write(fd if n % 3 else 1, b'%d ' % n)"
    both.same(f'ulimit -f 9; $G $PYTHON -c "{turns}" >>f; cat f')
    both.same(
        "ulimit -c 0; ulimit -f 1; $G sh -c 'seq 1000 >/dev/stdout; echo $? >&2' >f; wc -c <f"
    )
    both.same("ulimit -f 1; $G sh -c 'echo a >/dev/stdout; echo b >>/dev/stdout; echo' >f; cat f")


@pytest.mark.parametrize("engine", ["ptrace-seccomp", "ptrace"])
def test_other_engines(both: Both, engine: str) -> None:
    line = f"{OUTPUTS[0]}; cat f; seq 9 >f; {INPUTS[1]} <f"
    native, ours = both.run(line, ""), both.run(line, f"{TRANSPARENT} --engine={engine}")
    assert (ours.out, ours.status) == (native.out, native.status)
