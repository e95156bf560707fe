"""`glurun -T --home PATH`: files and terminals of home, opened by a program on a node.

All nodes of a test cluster share this machine's files, so home gets files that nobody else has: a
file system mounted in a mount namespace of the shell that runs the line. What a node sees under
the same name is an empty directory.
"""

from __future__ import annotations

import os
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster

from .compare import NATIVE, PYTHON, Both, Mounted, may_mount

GUESTS = Path(__file__).parent / "guests"
AT_HOME = "glurun -T --home h"
HOME_ONLY = Mounted("h")


pytestmark = pytest.mark.skipif(not may_mount(), reason="no mount namespace can be made here")


@pytest.fixture
def home(both: Both) -> Callable[[str], None]:
    """Compares a line, run where `h` is a directory that only home has."""

    def same(line: str) -> None:
        script = f"{{ {line}\n}}; echo status $?; cd h; find . | sort"
        native = both.run(script, NATIVE, 60, HOME_ONLY)
        ours = both.run(script, AT_HOME, 60, HOME_ONLY)
        assert (ours.out.split(b"\n"), ours.err) == (native.out.split(b"\n"), native.err), line
        assert native.out

    return same


def test_every_call(home: Callable[[str], None], compiled: Callable[[str, str], str]) -> None:
    """Descriptors are given back: home may have 64 at a time."""
    home("ulimit -n 64; $G " + compiled("homefile", (GUESTS / "homefile.c").read_text()) + " h")


LINES = [
    "echo at home >h/a; $G cat h/a; $G cat $PWD/h/../h/./a; $G sh -c 'cd h; cat a'",
    "$G sh -c 'echo one >h/f; echo two >>h/f; cat h/f; wc -c <h/f'",
    "$G cat h/nobody; $G sh -c '>h/no/body'; $G ls h; $G rm h/nobody; $G rmdir h/nobody",
    "umask 077; $G sh -c 'umask 022; : >h/a; umask 027; : >h/b; mkdir h/c'; ls -l h | cut -c1-10",
    "$G sh -c 'cd h; touch a b; ln a c; ln -s a d; ls -i a c |"
    ' cut -d" " -f1 | uniq -c; ls -l d\''
    " | sed 's/ [^>]* d / /'",
    '$G bash -c \'exec 5>h/log; echo 1 >&5; (echo 2 >&5); sh -c "echo 3 >&5"; exec 5>&-;'
    " cat h/log'",
    "$G bash -c 'exec 5<>h/rw; echo abc >&5; sh -c \"echo def >&5\"; exec 5<h/rw; cat <&5'",
    "$G bash -c 'echo x >h/a; (sleep 0.2; echo late >>h/a) & wait; cat h/a'",
    "$G dd if=/dev/zero of=h/s bs=1 count=1 seek=5000 status=none; $G stat -c %s h/s;"
    " $G truncate -s 10 h/s; stat -c %s h/s",
    "echo secret >h/k; chmod 0 h/k; $G stat -c '%a %U' h/k",
    '$G $PYTHON -c \'import os; os.makedirs("h/p/q"); open("h/p/q/r", "w").write("x");'
    ' print(os.listdir("h/p"), list(os.walk("h")), os.path.realpath("h/p/q/../q")[-6:])\'',
    "$G bash -c 'exec 5>h/l; flock 5; (exec 6>h/l; flock -n 6 || echo taken);"
    " (exec 6>h/l 5>&-; flock 6; echo got it) & flock -u 5; wait'",
    '$G $PYTHON -c \'import sqlite3; c = sqlite3.connect("h/db"); c.execute("create table t (a)");'
    ' c.execute("insert into t values (5)"); c.commit(); print(*c.execute("select * from t"))\'',
    "mkdir -p h/sub/deep; echo x >h/sub/deep/f; $G sh -c 'cd h/sub/deep; basename $PWD; cat f;"
    " echo y >g; cd ../..; cat sub/deep/g; cd sub/deep/f 2>/dev/null || echo no'",
    "$G sh -c 'git init -q h/r && cd h/r && git config user.email a &&"
    " git config user.name b && seq 9 >f && git add f && git commit -qm one &&"
    " seq 5 >f && git diff && git log --format=%s;"
    " git fsck' 2>&1; rm -rf h/r/.git/objects h/r/.git/logs h/r/.git/refs h/r/.git/hooks",
    "$G sh -c 'ln h/a /tmp/glunix-none; mv h/b /tmp/glunix-none' 2>&1 | sed 's/.*://'",
]

FIFOS = [
    "mkfifo h/p; $G cat h/p & seq 3 >h/p; wait",
    "mkfifo h/p; cat h/p & $G sh -c 'seq 3 >h/p'; wait; echo written",
    "$G sh -c 'mkfifo h/p; (sleep 0.1; echo late >h/p) & cat h/p; cat h/p & echo again >h/p; wait'",
    "mkfifo h/p; $G timeout 0.3 cat h/p; echo $?; $G timeout 0.3 sh -c 'echo >h/p'; echo $?",
    "mkfifo h/p; $G $PYTHON -c 'import os\n"
    'try: os.open("h/p", os.O_WRONLY | os.O_NONBLOCK)\n'
    "except OSError as error: print(error.strerror)\n"
    'fd = os.open("h/p", os.O_RDONLY | os.O_NONBLOCK); print(os.read(fd, 9))\n'
    'other = os.open("h/p", os.O_WRONLY); print(os.write(other, b"abc"), os.read(fd, 9))\n'
    "os.close(fd)\n"
    'try: os.write(other, b"x")\n'
    'except BrokenPipeError: print("broken")\'',
    "mkfifo h/p; head -n 1 h/p & $G sh -c 'yes >h/p; echo $?'; wait",
    'mkfifo h/p; head -n 1 h/p & $G sh -c \'trap "exit 4" PIPE; exec >h/p;'
    " while :; do echo y; done' 2>/dev/null; echo $?; wait",
    "mkfifo h/p; $G $PYTHON -c 'import os, signal, time\n"
    "signal.signal(signal.SIGALRM, lambda *a: 1 / 0)\n"
    "signal.setitimer(signal.ITIMER_REAL, 0.2)\n"
    'try: os.close(os.open("h/p", os.O_RDONLY))\n'
    'except ZeroDivisionError: print("given up")\'; cat h/p & echo >h/p; wait',
]

LONG = [
    "$G sh -c 'mkdir -p h/x/y; cp /etc/passwd h/x; mv h/x/passwd h/x/y/p; cmp /etc/passwd h/x/y/p'",
    "$G sh -c 'seq 100000 >h/n; sort -rn h/n | head -n 1; tac h/n | tail -n 1; md5sum <h/n'",
    "$G sh -c 'cd h; mkdir -p a/b/c; touch a/b/c/d; find . | sort; rm -r a; find .'",
    "seq 9 >h/in; $G bash -c 'exec 3<h/in; read -u3 a; read -u3 b; (read -u3 c); read -u3 d;"
    " echo $a $b $d'",
    "$G dd if=/dev/zero of=h/z bs=1000 count=900 status=none; stat -c %s h/z;"
    " $G dd if=h/z of=h/y bs=100000 status=none; cmp h/z h/y",
    "$G tar cf h/t.tar -C /usr/share/misc .; $G tar tf h/t.tar | wc -l; tar tf h/t.tar | wc -l",
    "$G sed -i s/a/b/ h/none 2>/dev/null; echo a >h/f; $G sed -i s/a/b/ h/f; cat h/f",
]


@pytest.mark.parametrize("line", LINES + FIFOS + (LONG if os.environ.get("GLUNIX_LONG") else []))
def test_programs(home: Callable[[str], None], line: str) -> None:
    home(line)


def test_what_a_link_leads_to_must_be_listed(both: Both) -> None:
    """Else a node could read all that the user can."""
    line = (
        "ln -s /etc/passwd h/l; echo a >h/a;"
        " ln -s a h/m; $G cat h/m; $G cat h/l; $G cat h/../h/l; $G ls h"
    )
    result = both.run(line, AT_HOME, mounted=HOME_ONLY)
    assert result.out.split() == [b"a", b"a", b"l", b"m"]
    assert result.err.count(b"Permission denied") == 2


def test_limits_are_told(both: Both) -> None:
    program = (
        "import errno, fcntl, mmap, os\n"
        "def told(call, *words):\n"
        "    try: call(*words)\n"
        "    except OSError as error: print(errno.errorcode[error.errno])\n"
        "f = open('h/f', 'w+b'); f.write(b'x'); f.flush()\n"
        "told(mmap.mmap, f.fileno(), 1)\n"
        "print(mmap.mmap(f.fileno(), 1, prot=mmap.PROT_READ)[:], end=' ')\n"
        "print(mmap.mmap(f.fileno(), 1, mmap.MAP_PRIVATE)[:])\n"
        "told(os.getxattr, 'h/f', 'user.a')\n"
        "told(os.link, 'h/f', '/tmp/glunix-none')\n"
        "told(os.mknod, 'h/d', 0o20600, 259)\n"
    )
    result = both.run(_quoted(program), AT_HOME, mounted=HOME_ONLY)
    expected = [
        "ENODEV",
        "b'x'",
        "b'x'",
        "ENOTSUP",
        "EXDEV",
        "EPERM",
    ]
    assert result.text.split() == expected, result


def _quoted(program: str) -> str:
    return f"cat >p.py <<'END'\n{program}END\n$G $PYTHON p.py"


def test_without_it_files_are_the_nodes(both: Both) -> None:
    result = both.run("echo a >h/a; glurun -T ls h", NATIVE, mounted=HOME_ONLY)
    assert (result.status, result.out) == (0, b"")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--home h true", "--home is for -T"),
        ("-T --home / true", "--home wants a path below the root"),
        ("-T --home '' true", "--home wants a path below the root"),
        ("-T --home", "needs a value"),
    ],
)
def test_wrong_use(both: Both, words: str, complaint: str) -> None:
    result = both.run(f"glurun {words}", NATIVE)
    assert result.status == 125
    assert complaint in result.complaint


# -- a terminal of home that is not the job's own --------------------------------------------------

TERMINAL = """
import errno, fcntl, os, select, sys, termios
name = sys.argv[1]
fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
print(os.isatty(fd), os.ttyname(fd) == name, os.get_terminal_size(fd))
print(termios.tcgetattr(fd)[3] & termios.ICANON != 0)
poll = select.poll(); poll.register(fd, select.POLLIN)
epoll = select.epoll(); epoll.register(fd, select.EPOLLIN)
print(poll.poll(0), epoll.poll(0))
os.write(fd, b"first?")
print(bool(poll.poll(9000)), bool(epoll.poll(9)), bool(select.select([fd], [], [], 9)[0]))
print(os.read(fd, 3), os.read(fd, 99))
print(poll.poll(0), epoll.poll(0))
os.set_blocking(fd, False)
try: os.read(fd, 1)
except OSError as error: print(errno.errorcode[error.errno])
os.set_blocking(fd, True)
os.write(fd, b"second?")
if os.fork() == 0:
    print(os.read(fd, 99), flush=True)
    os._exit(0)
os.wait()
try: os.lseek(fd, 0, 1)
except OSError as error: print(errno.errorcode[error.errno])
os.close(fd)
print(open(name, "rb+", buffering=0).fileno() == fd)
"""


@pytest.fixture
def other_terminal() -> Iterator[tuple[int, str]]:
    """(master, name) of a terminal that no job has as its own."""
    master, slave = os.openpty()
    mode = termios.tcgetattr(slave)
    mode[1] &= ~termios.OPOST
    mode[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    termios.tcsetwinsize(slave, (11, 44))
    yield master, os.ttyname(slave)
    os.close(slave)
    os.close(master)


def talk(command: list[str], env: dict[str, str], master: int) -> bytes:
    """What a program prints while it is answered on the terminal."""
    with subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for question, reply in ((b"first?", b"abcdef\n"), (b"second?", b"xyz\n")):
            heard = b""
            while not heard.endswith(question):
                heard += os.read(master, 1)
            os.write(master, reply)
        out, _ = process.communicate(timeout=20)
    return out


def test_another_terminal_of_home(
    shared: Cluster, place: Path, other_terminal: tuple[int, str]
) -> None:
    master, name = other_terminal
    (place / "p.py").write_text(TERMINAL)
    command = [PYTHON, str(place / "p.py"), name]
    env = shared.environment({})
    native = talk(command, env, master)
    assert b"Traceback" not in native
    at_home = ["glurun", "-T", "--home", name, *command]
    assert talk(at_home, env, master) == native
