"""Writes to home's files fail as at home: limits of size, full disks, and two opens of one file.

Native Linux is the oracle, also of the file's content.
"""

from __future__ import annotations

import pytest

from .compare import TRANSPARENT, Both, Mounted, may_mount

CALLS = """import errno, os, sys
def told(call, *words):
    try:
        print(call(*words), file=sys.stderr)
    except OSError as error:
        print(errno.errorcode[error.errno], file=sys.stderr)
"""


def program(*lines: str) -> str:
    """A program whose SIGXFSZ is ignored, as Python's is."""
    return f"cat >p.py <<'E'\n{CALLS}" + "\n".join(lines) + "\nE\n"


SIZES = [
    "ulimit -f 1; $G seq 2000 >f; echo $?",
    "ulimit -f 1; $G seq 2000 2>&1 >f; echo $?",
    "ulimit -f 2; $G sh -c 'seq 2000 >&2; echo $?' 2>f",
    program(
        "import signal",
        "got = []",
        "signal.signal(signal.SIGXFSZ, lambda *_: got.append('caught'))",
        "for n in range(5):",
        "    told(os.write, 1, bytes(800))",
        "    while n > 1 and not got: pass",
        "    print(got, file=sys.stderr)",
        "    got.clear()",
    )
    + "ulimit -f 1; $G $PYTHON p.py >f",
    "ulimit -f 1; $G sh -c 'trap \"\" XFSZ; seq 2000; echo $? >&2' >f",
    "head -c 1000 /dev/zero >f; ulimit -f 1; $G seq 100 >>f; echo $?; $G sh -c : >>f",
    "ulimit -f 1; { $G head -c 600 /dev/zero; $G head -c 600 /dev/zero; echo $? >&2; } >f",
    "ulimit -f 100; $G seq 20000 >f; echo $?",
    "ulimit -f 1; exec 5>f; $G sh -c 'seq 2000 >&5; echo $?'; echo $?",
    "ulimit -f 1; $G seq 2000 | tail -n1; $G sh -c 'ulimit -f'; : >f",
    program(
        "for size in 700, 700, 700: told(os.write, 1, bytes(size))",
        "told(os.lseek, 1, 0, 0)",
        "told(os.write, 1, b'again')",
        "told(os.pwrite, 1, bytes(9), 1020)",
        "told(os.pwrite, 1, b'x', 1024)",
        "told(os.ftruncate, 1, 1025)",
        "told(os.ftruncate, 1, 1023)",
        "told(os.posix_fallocate, 1, 0, 4096)",
        "told(os.writev, 1, [b'ab', b'cd'])",
        "told(os.lseek, 1, 0, 2)",
        "told(os.writev, 1, [b'ab', b'cd'])",
    )
    + "ulimit -f 1; $G $PYTHON p.py >f; echo $?",
    "ulimit -f 1; $G sh -c 'echo x | dd bs=9000 seek=1 status=none; echo $?' >f",
]


@pytest.mark.parametrize("line", SIZES)
def test_limit_of_size(both: Both, line: str) -> None:
    both.same(f"ulimit -c 0; {line}; od -c f | tail -n3; exit $?")


SPACE = [
    "$G seq 100000 >m/f; echo $?",
    "$G sh -c 'seq 100000; echo $? >&2' >m/f; echo $?",
    "head -c 65536 /dev/zero >m/full 2>&-; $G sh -c 'echo x; echo $? >&2' >m/f; echo $?",
    "head -c 65536 /dev/zero >m/full 2>&-; $G echo x >m/f 2>&1; echo $?; rm m/full;"
    " $G echo y >>m/f; echo $?; cat m/f",
    "$G dd if=/dev/zero bs=1000 count=100 >m/f 2>e; echo $?; grep -v copied e",
    "seq 100000 >big; $G cat <big >m/f; echo $?",
    "exec 7>m/f; $G sh -c 'seq 100000 >&7; echo $?'",
    program(
        "for size in 60000, 60000, 60000: told(os.write, 1, bytes(size))",
        "told(os.ftruncate, 1, 100)",
        "told(os.write, 1, b'there is room')",
    )
    + "$G $PYTHON p.py >m/f; echo $?",
]


@pytest.mark.skipif(not may_mount(), reason="no mount namespace can be made here")
@pytest.mark.parametrize("line", SPACE)
def test_full_disk(both: Both, line: str) -> None:
    """Of home: nodes do not see what is mounted."""
    both.same(f"{line}\nmd5sum <m/f; exit 0", mounted=Mounted("m", "64k"))


LATE = """
import os, sys, time
os.write(1, bytes(100))
open("begun", "w").close()
while not os.path.exists("filled"):
    time.sleep(0.01)
for n in range(100):
    try:
        os.write(1, bytes(65536))
    except OSError as error:
        print(error.strerror, n < 99, file=sys.stderr)
        break
try:
    os.write(1, b"x" * 5000)
except OSError as error:
    print(error.strerror, file=sys.stderr)
"""


@pytest.mark.skipif(not may_mount(), reason="no mount namespace can be made here")
def test_somebody_else_fills_the_disk(both: Both) -> None:
    """The error comes at a later write: never is it lost, or glurun's own."""
    line = (
        f"cat >p.py <<'E'\n{LATE}E\n"
        "(until [ -e begun ]; do sleep 0.01; done; head -c 9000000 /dev/zero >m/other 2>&-;"
        " : >filled) &\n"
        "$G $PYTHON p.py >m/f; echo $?; wait"
    )
    native = both.same(line, mounted=Mounted("m", "8m"))
    assert native.err.count(b"No space left on device") == 2


TWO = [
    "$G sh -c 'echo 1; echo 22 >&2; echo 3; echo 4 >&2; echo 5' >f 2>>f",
    "$G sh -c 'echo 1; echo 22 >&2; echo 3; echo 4 >&2; echo 5' >>f 2>>f",
    "$G sh -c 'echo 1; echo 2222 >&2; echo 3; echo 4 >&2; echo 5' >f 2>f",
    "$G sh -c 'for n in 1 2 3 4 5 6 7 8 9; do echo out $n; sh -c \"echo err $n\" >&2; done'"
    " >>f 2>>f",
    "exec 5>f 6>>f; $G sh -c 'echo five >&5; echo 6 >&6; echo seven >&5; echo 8 >&6'",
    "$G sh -c 'echo 1; echo 2 >&5; echo 3; echo 4 >&5' >f 5>&1",
    "exec 5>f; $G sh -c 'echo 1; echo 2 >&5; echo 3 >&2' >&5 2>>f",
    "$G $PYTHON -c 'import os\nfor n in range(300): os.write(1 + n % 2, b\"%d\\n\" % n)' >>f 2>>f",
    "$G $PYTHON -c 'import os\nfor n in 1, 2, 1, 2: os.write(n, bytes([n]) * 100000)' >>f 2>>f",
    "$G sh -c 'echo x >&2; (echo late; echo later >&2) & wait' >f 2>>f",
    "seq 5 >f; exec 5<f; $G sh -c 'read a; read b <&5; read c; echo $a $b $c' <&5",
    "$G sh -c 'seq 3; echo err >&2; dd if=/dev/zero bs=3 count=1 status=none; echo 1 >&2' >f 2>>f",
]


@pytest.mark.parametrize("line", TWO)
def test_two_descriptors_of_a_file(both: Both, line: str) -> None:
    """One open file, or two: each has its own offset, and all that is written is in order."""
    both.same(f"{line}; od -c f")


@pytest.mark.parametrize("engine", ["ptrace-seccomp", "ptrace"])
def test_other_engines(both: Both, engine: str) -> None:
    line = f"ulimit -c 0; {TWO[0]}; cat f; ulimit -f 1; $G seq 2000 >g; echo $?; wc -c <g"
    native, ours = both.run(line, ""), both.run(line, f"{TRANSPARENT} --engine={engine}")
    assert (ours.out, ours.status) == (native.out, native.status)
