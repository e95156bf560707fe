"""Standard output and error that are files or devices at home are such for the program, too."""

from __future__ import annotations

import pytest

from .compare import Both

WROTE = "os.write(1, b'hello world')"


def python(*statements: str) -> str:
    return f'$G $PYTHON -c "import fcntl, os, stat, sys; {"; ".join(statements)}"'


@pytest.mark.parametrize(
    "line",
    [
        python("print(stat.S_ISREG(os.fstat(1).st_mode), os.lseek(1, 0, 1))") + " >f",
        python(WROTE, "os.lseek(1, 0, 0)", "os.write(1, b'J')") + " >f",
        python(WROTE, "os.ftruncate(1, 5)", "os.lseek(1, 0, 2)", "os.write(1, b'!')") + " >f",
        python(WROTE, "os.pwrite(1, b'XX', 2)", "os.write(1, b'!')") + " >f",
        python(WROTE, "os.lseek(1, -5, 1)", "os.system('echo child')", "os.write(1, b'!')") + " >f",
        python(WROTE, "print(os.stat(1).st_size, os.fstat(1).st_size, file=sys.stderr)") + " >f",
        python(WROTE, "os.fchmod(1, 0o640)", "os.fsync(1)") + " >f; stat -c %a f",
        python(WROTE, "print([os.lseek(1, 0, n) for n in (1, 2)], file=sys.stderr)") + " 1<>f",
        python(WROTE, "os.posix_fallocate(1, 0, 50)") + " >f; wc -c <f",
        "echo first >f; " + python("os.lseek(1, 0, 0)", WROTE) + " >>f",
        "echo first >f; " + python("print(fcntl.fcntl(1, fcntl.F_GETFL))") + " >>f",
        python("fcntl.fcntl(1, fcntl.F_SETFL, os.O_APPEND)", WROTE, "os.lseek(1, 0, 0)", WROTE)
        + " >f",
        "$G sh -c 'echo out; echo err >&2' >f 2>&1",
        "$G sh -c 'echo out; echo err >&2' >f 2>>f",
        "{ echo before; $G echo within; $G echo again; echo after; } >f",
        "{ $G seq 3; $G dd if=/dev/zero bs=1 count=2 status=none; $G seq 2; } >f",
        "$G sh -c 'seq 3; exec 5>&1 >/dev/null; seq 9; echo end >&5' >f",
        "echo abc >f; $G cat f >>f; echo $?",
        "$G dd of=/dev/stdout if=/dev/zero bs=1 count=3 seek=5 conv=notrunc status=none >f",
        "$G sh -c '(sleep 0.2; echo late) & echo now' >f; sleep 0.5",
        "$G seq 200000 >f; md5sum f",
        "for i in 1 2 3; do $G sh -c 'for n in 1 2 3 4; do echo line; done' >>f & done; wait",
        "$G sh -c 'flock -n 1 && echo locked; flock -n f true || echo by us' >f",
        "$G tar cf - -C /etc passwd >f; tar tf f; rm f; touch f",
    ],
)
def test_file(both: Both, line: str) -> None:
    both.same(f"{line}; cat f")


@pytest.mark.parametrize(
    "line",
    [
        "$G sh -c 'echo x' >/dev/full",
        "$G cat /etc/hostname >/dev/full",
        "echo x | $G tee /dev/null >/dev/full",
        python("print('x')") + " >/dev/full 2>err; tail -n1 err",
        python("s = os.fstat(1).st_rdev; print(s, os.isatty(1), file=sys.stderr)") + " >/dev/null",
        python("print(fcntl.fcntl(1, fcntl.F_GETFL), file=sys.stderr)") + " >/dev/null",
        python("print(fcntl.fcntl(1, fcntl.F_GETFL), file=sys.stderr)") + " 1<>/dev/null",
        python("print(os.read(1, 3), file=sys.stderr)") + " 1<>/dev/zero",
        python("print(os.lseek(1, 5, 0), file=sys.stderr)") + " >/dev/null",
        "$G sh -c 'seq 200000; echo err >&2' >/dev/null",
        "$G sh -c 'seq 3; seq 200000 >&2' 2>/dev/null",
        "$G sh -c 'echo err >&2; echo out' >/dev/null 2>&1",
        "$G sh -c '(sleep 0.2; echo late >&2) & echo now' >/dev/null 2>f; sleep 0.5; cat f",
    ],
)
def test_device(both: Both, line: str) -> None:
    both.same(f"{line}; echo $?")


@pytest.mark.parametrize("engine", ["ptrace-seccomp", "ptrace"])
def test_other_engines(both: Both, engine: str) -> None:
    line = python(WROTE, "os.lseek(1, 0, 0)", "os.pwrite(1, b'X', 3)", "os.write(1, b'J')")
    line += " >f; cat f; seq 9 >g; { " + python("os.sendfile(1, 0, None, 4)") + " | cat; cat; } <g"
    assert both.run(line, f"glurun -T --engine={engine}") == both.run(line, "")


PROGRAM = """
import os, socket, stat, sys
fd = int(sys.argv[1])
sock = socket.socket(fileno=os.dup(fd))
sock.send(b"sent\\n")
kind = sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
os.write(fd, b"%d %d\\n" % (stat.S_ISSOCK(os.fstat(fd).st_mode), kind))
try:
    os.lseek(fd, 0, 0)
except OSError as error:
    sock.sendmsg([error.strerror.encode(), b"\\n"])
sock.shutdown(socket.SHUT_WR)
try:
    sock.send(b"x")
except OSError as error:
    os.write(3 - fd, error.strerror.encode() + b"\\n")
"""

DRIVER = """
import socket, subprocess, sys
command, PIPE = sys.argv[1:], subprocess.PIPE
for one, more in (("stdout", PIPE), ("stderr", PIPE), ("stdout", subprocess.STDOUT)):
    ours, theirs = socket.socketpair()
    kinds = {"stdout": PIPE, "stderr": more, one: theirs}
    words = [*command, "program.py", "2" if one == "stderr" else "1"]
    job = subprocess.Popen(words, stdin=subprocess.DEVNULL, **kinds)
    theirs.close()
    got = b""
    while data := ours.recv(4096):
        got += data
    print(got, job.communicate(), job.returncode)
    ours.close()
ours, theirs = socket.socketpair()
job = subprocess.Popen([*command, "-c", "import os\\nwhile True: os.write(1, bytes(9999))"],
                       stdin=subprocess.DEVNULL, stdout=theirs, stderr=PIPE)
theirs.close()
ours.recv(100)
ours.close()
broken = (b"BrokenPipeError", b"ConnectionResetError")  # unix(7): as the reader has read all or not
print(job.communicate()[1].splitlines()[-1].startswith(broken), job.returncode)
"""


def test_socket(both: Both) -> None:
    """It is one, is shut down and breaks as one."""
    files = f"cat >program.py <<'E'\n{PROGRAM}E\ncat >driver.py <<'E'\n{DRIVER}E\n"
    assert both.same(f"{files}$PYTHON driver.py $G $PYTHON").status == 0
