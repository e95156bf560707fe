"""Standard input that is no terminal: offsets, pipes, sockets, devices, exactly as at home."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .compare import Both

MAKE = "seq 2000 >f; "
SHORT = "seq 12 >f; "


@pytest.mark.parametrize(
    "line",
    [
        "{ $G head -n1; cat; } <f | md5sum",
        "{ $G head -n2 >/dev/null; $G head -n1; head -n1; } <f",
        "{ $G sed 5q >/dev/null; cat; } <f | md5sum",
        "{ $G tail -n2; cat; } <f",
        "{ $G tail -c9; cat; } <f",
        "{ $G wc -l; cat; } <f",
        "{ $G wc -c; cat; } <f",
        "{ $G dd bs=7 skip=3 count=2 status=none; cat; } <f | md5sum",
        "{ $G dd bs=5 count=4 status=none; $G dd bs=5 count=1 status=none; } <f",
        "{ $G dd bs=100k count=1 iflag=fullblock status=none | md5sum; cat; } <f",
        "$G cat <f | cmp - f && echo same",
        "$G cp /dev/stdin g <f; cmp f g && echo same",
        "$G sort -rn <f | head -n2",
        "chmod 640 f; $G stat -c '%F %s %a %U %h' - <f; echo more >>f",
        "$G sh -c 'echo more >>f; stat -L -c %s -; wc -c' <f",
        "$G cat <f >>f; echo $?",
        "flock f sh -c 'until [ -e over ]; do sleep 0.05; done' & until ! flock -n f true; do :;"
        " done; $G flock -n 0 <f; echo $?; : >over; wait",
        "seq 50000 >h; $G git hash-object --stdin <h",
        "$G grep -c 7 <f",
        "$G md5sum <f",
        "$G od -An -c -N6 <f",
        "$G xxd <f | md5sum",
        "$G tac <f | head -n1",
        "$G tail -n1 - <f",
        "$G cmp - f <f; echo $?",
        "$G bash -c 'read a; read b; echo $a $b; cat' <f | md5sum",
        "$G gzip -c <f | gzip -dc | md5sum",
        "$G awk '{s += $1} END {print s}' <f",
        "$G $PYTHON -c 'import sys; print(len(sys.stdin.read()))' <f",
        "$G $PYTHON -c 'import os; print(os.fstat(0).st_size, os.lseek(0, -5, 2))' <f",
        "$G $PYTHON -c 'import os; print(os.pread(0, 4, 10), os.read(0, 4), os.lseek(0, 0, 1))' <f",
        "$G perl -ne 'print if $. == 3' <f",
        "exec 0<>f; $G head -n1; $G head -n1; head -n1",
        "$G cat <f >>g; $G cat <f >>g; cmp <(cat f f) g && echo same",
        'while read a; do $G sh -c "read b; echo $a \\$b"; done <f | tail -n1',
    ],
)
def test_file(both: Both, line: str) -> None:
    """What is left over is where it was left: the offset belongs to the shell, too."""
    make = SHORT if line.startswith("while") else MAKE
    both.same(make + line)


@pytest.mark.parametrize(
    "line",
    [
        "seq 2000 | { $G head -c 8; cat; } | md5sum",
        "seq 2000 | { $G dd bs=3 count=2 status=none; cat; } | md5sum",
        "seq 2000 | $G dd bs=1k count=3 status=none iflag=fullblock | md5sum",
        "seq 2000 | $G dd bs=64 skip=2 count=1 status=none iflag=fullblock",
        "seq 2000 | $G tail -n2",
        "seq 2000 | $G tail -c 7",
        "seq 2000 | $G head -n -1998",
        "seq 200 | $G sh -c 'while read x; do :; done; echo $x end'",
        "(echo a; sleep 0.2; echo b) | $G bash -c 'read x; read -t 5 y; echo $x $y'",
        "rm -f late; (echo a; until [ -e late ]; do sleep 0.02; done; echo b)"
        " | $G bash -c 'read; read -t 0.1 y; echo $?; : >late; read y; echo $y'",
        "(echo a; sleep 0.3) | $G bash -c 'read x; read -t 9 y; echo $? $x'",
        "printf abc | $G bash -c 'read -n1 a; read -N1 b; read c; echo $a $b $c $?'",
        "yes | head -c 3000000 | $G md5sum",
        "head -c 3000000 /dev/zero | $G tee g | md5sum; md5sum <g",
        "seq 3 | $G sh -c 'cat; cat' ",
        "seq 9 | $G xargs -n2 echo",
        "seq 9 | $G sort -R | sort -n | tail -n1",
        "mkfifo p; seq 5 >p & $G cat <p; wait",
        "seq 9 | $G $PYTHON -c 'print(open(\"/dev/stdin\").read().split())'",
        "seq 9 | $G cat /dev/stdin | wc -l",
        "seq 9 | $G cat - /dev/null | wc -l",
        "seq 9 | $G cat /proc/self/fd/0 | wc -l",
        "$G cat < <(seq 3)",
        "seq 4 | $G cat | $G cat | $G cat",
        "seq 5 | $G sh -c 'cat & wait'",
        "seq 5 | $G bash -c 'cat <(cat)'",
        "seq 3 | $G sh -c 'exec 5<&0; exec 0</dev/null; cat <&5'",
        "{ seq 3; cat /dev/zero; } | $G head -n3; echo ${PIPESTATUS[@]}",
        "$G head -c 5 /dev/zero | od -c",
        "$G head -c 5 </dev/zero | od -c",
        "$G head -c 1000 </dev/urandom | wc -c",
        "$G cat </dev/null; $G stat -c %t:%T - </dev/null",
        "$G ls -l /proc/self/fd/0 </dev/null | sed 's/.*->/->/'",
    ],
)
def test_pipe(both: Both, line: str) -> None:
    both.same(line)


COPIED = """
import errno, mmap, os, socket
read_end, write_end = os.pipe()
ours, theirs = socket.socketpair()
out = os.open("g", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
def tried(call, *words, **more):
    try:
        return call(*words, **more)
    except OSError as error:
        return errno.errorcode[error.errno]
print(tried(os.splice, 0, write_end, 4), os.read(read_end, 9), os.read(0, 3))
print(tried(os.splice, 0, write_end, 4, offset_src=3), os.read(read_end, 9), os.read(0, 3))
print(tried(os.splice, 0, write_end, 1000), len(os.read(read_end, 9999)))
print(os.lseek(0, 0, 1), tried(os.copy_file_range, 0, out, 50), tried(os.sendfile, out, 0, None, 9))
print(tried(os.sendfile, ours.fileno(), 0, None, 6), theirs.recv(9), os.lseek(0, 0, 1))
print(tried(os.sendfile, ours.fileno(), 0, 2, 6), theirs.recv(9), os.lseek(0, 0, 1))
print(os.pread(out, 99, 0), os.lseek(out, 0, 1), tried(os.splice, 0, out, 5))
print([tried(call, 0, 99, 4) for call in (os.splice, os.copy_file_range)])
os.lseek(0, -3, 2)
print(tried(os.splice, 0, write_end, 9), tried(os.splice, 0, write_end, 9), os.read(read_end, 9))
with mmap.mmap(0, 0, prot=mmap.PROT_READ) as map:
    print(len(map), map[:9], map[-9:])
"""


def test_copies_of_a_file(both: Both) -> None:
    """splice, sendfile and copy_file_range take what they say, and a map shows the file."""
    line = f"cat >copied.py <<'E'\n{COPIED}E\nseq 60000 >f; {{ $G $PYTHON copied.py; cat; }} <f"
    assert both.same(f"{line} | md5sum").status == 0
    both.same(line.replace("cat; }", "}"))


SELECTED = """
import os, select, sys
poll = select.poll(); poll.register(0, select.POLLIN)
def look():
    return bool(select.select([0], [], [], 0)[0]), [bool(e & 17) for _, e in poll.poll(0)]
os.write(1, b"first\\n")
print(len(poll.poll(9000)), look(), os.read(0, 2), look(), os.read(0, 50))
print(look(), flush=True)
print(select.select([0], [], [], 9)[0], os.read(0, 9))
print(select.select([0], [], [], 9)[0], look(), os.read(0, 9))
"""


@pytest.mark.parametrize("source", ["pipe", "socket"])
def test_readiness(both: Both, source: str) -> None:
    """poll and select say readable exactly when home has input; also at the end."""
    driver = """
import os, socket, subprocess, sys
kind, command = sys.argv[1], sys.argv[2:]
ours, theirs = (os.pipe()[::-1] if kind == "pipe"
                else [s.detach() for s in socket.socketpair()])
child = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE)
os.close(theirs)
out = child.stdout.readline()
os.write(ours, b"abcd")
out += child.stdout.readline() + child.stdout.readline()
os.write(ours, b"e")
os.close(ours)
out += child.stdout.read()
sys.stdout.buffer.write(out)
sys.exit(child.wait())
"""
    line = (
        f"cat >driver.py <<'E'\n{driver}E\ncat >reader.py <<'E'\n{SELECTED}E\n"
        f"$PYTHON driver.py {source} $G $PYTHON -u reader.py"
    )
    assert both.same(line).status == 0


SOCKET = """
import socket, subprocess, sys
ours, theirs = socket.socketpair()
child = subprocess.Popen(sys.argv[1:], stdin=theirs, stdout=subprocess.PIPE)
theirs.close()
ours.sendall(b"one\\ntwo\\n" * 3000)
ours.shutdown(socket.SHUT_WR)
out = child.stdout.read()
print(child.wait(), len(out), out[:30])
"""


@pytest.mark.parametrize(
    "command", ["cat", "head -n1", "sh -c 'read x; echo $x; read y; echo $y'", "wc"]
)
def test_socket(both: Both, command: str) -> None:
    both.same(f"cat >driver.py <<'E'\n{SOCKET}E\n$PYTHON driver.py $G {command}")


COPIES = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>
/* How copies inside the kernel fail is not told; that read(2) then finds every byte is. */
static void show(char *data, ssize_t size) {
    if (write(1, data, size) != size) _exit(9);
}
int main(void) {
    char a[3], b[500];
    struct iovec parts[2] = { { a, 3 }, { b, sizeof b } };
    if (splice(0, 0, 1, 0, 4, 0) < 0 && sendfile(1, 0, 0, 4) < 0) show(b, read(0, b, 4));
    ssize_t got = readv(0, parts, 2);
    if (got > 3) { show(a, 3); show(b, got - 3); }
    errno = 0;
    char *volatile wrong = (char *)8;
    int count = read(0, wrong, 1);
    printf("%d %s\\n", count, strerror(errno)); fflush(stdout);
    printf("%d\\n", (int)read(0, b, 0)); fflush(stdout);
    while ((got = read(0, b, sizeof b)) > 0) show(b, got);
    return 0;
}
"""


@pytest.mark.parametrize("source", ["seq 2000 |", "<f"])
def test_copies_in_the_kernel(both: Both, compiled: Callable[[str, str], str], source: str) -> None:
    program = compiled("copies", COPIES)
    command = f"$G {program} | md5sum"
    both.same(
        MAKE + (f"{source} {command}" if "|" in source else f"$G {program} {source} | md5sum")
    )


MODES = """
import os, signal
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
for _ in range(3000):
    os.set_blocking(0, False)
    os.set_blocking(0, True)
signal.setitimer(signal.ITIMER_REAL, 0)
print("never interrupted")
"""


def test_an_ioctl_that_does_not_wait_is_not_interrupted(both: Both) -> None:
    """FIONBIO is an ioctl, of which others go home: a signal may interrupt those only."""
    line = f"cat >modes.py <<'E'\n{MODES}E\nsleep 0 | $G $PYTHON modes.py"
    assert both.same(line).status == 0
