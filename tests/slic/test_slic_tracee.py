"""What a Tracee tells and does about a real caller, checked against the caller's own view."""

import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slic_harness import result_of

from slic.engine import Capability, Engine
from slic.interposer import Interposer, on
from slic.tracee import AT_FDCWD, BadAddress, Tracee
from slic.verdict import Asking, Blocking, Return, ReturnFd, Verdict

Guest = Callable[..., str]
NOBODY = 65534


class Look(Interposer):
    """On getppid: run a function of the test on the caller, keep what it gives."""

    def __init__(self, look: Callable[[Tracee], Any]) -> None:
        self.look = look
        self.found: list[Any] = []

    @on("getppid")
    def getppid(self, tracee: Tracee) -> Verdict:
        self.found.append(self.look(tracee))
        return Return(0)


class Opens(Interposer):
    """Every open is performed by the supervisor, as restrict and crypt do it."""

    @on("openat", needs=Capability.ADD_FD | Capability.RETURN)
    def openat(self, tracee: Tracee, dirfd: int, filename: int, flags: int, mode: int) -> Asking:
        name = tracee.cstring(filename)
        fd = yield Blocking(lambda: tracee.open(dirfd, name, flags, mode), undo=os.close)
        return ReturnFd(fd, cloexec=bool(flags & os.O_CLOEXEC))


ONCE = "int main(int c, char **v) { %s return syscall(SYS_getppid) != 0; }"


def looked(
    engine: Engine, guest: Guest, name: str, body: str, look: Callable[[Tracee], Any], *args: str
) -> Any:
    program = guest(name, ONCE % body)
    looking = Look(look)
    assert result_of(engine, [looking], [program, *args]) == (0, "")
    (found,) = looking.found
    return found


def test_descriptors_and_places(engine: Engine, guest: Guest, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("0123456789")

    def look(t: Tracee) -> dict[str, Any]:
        ours = t.fd_dup(40)
        try:
            data = os.read(ours, 3)
        finally:
            os.close(ours)
        with pytest.raises(OSError) as error:
            t.fd_stat(77)
        with pytest.raises(OSError) as negative:
            t.fd_link(-1)
        return {
            "size": t.fd_stat(40).st_size,
            "link": t.fd_link(40),
            "flags": t.fd_flags(40) & (os.O_ACCMODE | os.O_NONBLOCK | os.O_CLOEXEC),
            "pipe": stat.S_ISFIFO(t.fd_stat(1).st_mode),
            "data": data,
            "cwd": t.cwd(),
            "paths": [t.path(AT_FDCWD, b"x/../y"), t.path(41, b"z"), t.path(41, b"/abs")],
            "errors": (error.value.errno, negative.value.errno),
            "same": t.pid == t.tid,
            "uname": t.native_uname() == os.uname(),
        }

    body = """chdir("/usr"); dup2(open(v[1], O_RDWR | O_NONBLOCK), 40);
      fcntl(40, F_SETFD, FD_CLOEXEC); dup2(open("/tmp", O_DIRECTORY), 41);"""
    assert looked(engine, guest, "places", body, look, str(file)) == {
        "size": 10,
        "link": str(file),
        "flags": os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC,
        "pipe": True,
        "data": b"012",
        "cwd": "/usr",
        "paths": ["/usr/y", "/tmp/z", "/abs"],
        "errors": (errno.EBADF, errno.EBADF),
        "same": True,
        "uname": True,
    }


def test_memory_at_its_edges(engine: Engine, guest: Guest) -> None:
    """A page, then nothing: reads up to the edge work, one byte more does not."""
    base = 0x10000000

    def look(t: Tracee) -> list[Any]:
        end = base + 4096
        with pytest.raises(BadAddress):
            t.read(end - 4, 5)
        with pytest.raises(BadAddress):
            t.write(end - 1, b"ab")  # the kernel, too, writes what it can before EFAULT
        with pytest.raises(BadAddress):
            t.cstring(end - 4)  # no NUL before the edge
        with pytest.raises(OSError, match="string") as long:
            t.cstring(base, 100)
        with pytest.raises(OSError, match="iovec"):
            t.iovec(base, 1025)
        t.write(base, struct.pack("=4Q", end - 8, 3, end - 5, 5))
        vector = t.iovec(base, 2)
        done = t.scatter(vector, b"abcdef")
        return [
            t.read_some(end - 4, 100),
            t.read(end - 8, 8),
            done,
            vector == [(end - 8, 3), (end - 5, 5)],
            long.value.errno,
            t.read(base, 0),
        ]

    body = f"""char *p = mmap((void *){base}, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
      -1, 0); memset(p, 'x', 4096);"""
    found = looked(engine, guest, "edges", body, look)
    assert found == [b"efxa", b"abcdefxa", 6, True, errno.ENAMETOOLONG, b""]


OPEN = r"""
int main(int c, char **v) { umask(strtol(v[1], 0, 8)); if (*v[2] != '-') {
  if (chdir(v[2])) return 9; } if (*v[3] != '-') { if (setgid(atoi(v[3])) || setuid(atoi(v[3])))
  return 8; } for (int i = 4; i + 1 < c; i += 2) { char b[16] = {0};
  int fd = open(v[i], strtol(v[i + 1], 0, 0), 0666); int n = fd < 0 ? 0 : read(fd, b, 15);
  for (int k = 0; k < n; k++) if (b[k] == '\n') b[k] = 0;
  printf("%d %d %s\n", fd < 0 ? -1 : 0, fd < 0 ? errno : 0, b); if (fd >= 0) close(fd); }
  return 0; }
"""


def same_as_native(engine: Engine, guest: Guest, *arguments: str) -> str:
    """Run the opens natively, then with every open performed by the supervisor."""
    import subprocess

    argv = [guest("opens", OPEN), *arguments]
    native = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert result_of(engine, [Opens()], argv) == (0, native)
    return native


def test_opens_are_the_callers(engine: Engine, guest: Guest, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("inside\n")
    (tmp_path / "link").symlink_to("file")
    read, new = str(os.O_RDONLY), str(os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    native = same_as_native(
        engine, guest, "027", str(tmp_path), "-",
        "file", read, "link", read, "./nothing/x", read, "new", new, str(tmp_path / "file"), read,
        "link", str(os.O_NOFOLLOW), "file", str(os.O_DIRECTORY), "", read,
        "/proc/self/comm", read, "/proc/thread-self/comm", read, "/dev/null", read,
    )  # fmt: skip
    assert native.startswith("0 0 inside\n0 0 inside\n-1 2 \n0 0 \n0 0 inside\n-1 40 \n-1 20 \n")
    assert native.count("0 0 opens\n") == 2
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


@pytest.mark.root
def test_opens_have_the_callers_rights(engine: Engine, guest: Guest, guest_folder: Path) -> None:
    """Root supervises nobody: what nobody may not open stays closed, what it makes is its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    folder = guest_folder / f"rights-{engine.name}"
    folder.mkdir()
    folder.chmod(0o777)
    secret = folder / "secret"
    secret.write_text("root's\n")
    secret.chmod(0o600)
    (folder / "closed").mkdir(mode=0o700)
    new = str(os.O_RDWR | os.O_CREAT)
    native = same_as_native(
        engine, guest, "022", str(folder), str(NOBODY),
        "secret", "0", "closed/x", "0", "mine", new, "/etc/shadow", "0",
    )  # fmt: skip
    denied = f"-1 {errno.EACCES} \n"
    assert native == denied * 2 + "0 0 \n" + denied
    assert (folder / "mine").stat().st_uid == NOBODY
    assert (os.geteuid(), os.getegid()) == (0, 0)


@pytest.mark.root
def test_opens_in_another_root(engine: Engine, guest: Guest, guest_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root = guest_folder / f"root-{engine.name}"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "word").write_text("jailed\n")
    (root / "abs").symlink_to("/etc/word")
    program = guest(
        "jail",
        r"""int main(int c, char **v) { if (chroot(v[1]) || chdir("/etc")) return 9;
          const char *n[] = {"/etc/word", "word", "/abs", "../../../../etc/word", "/etc/passwd"};
          for (int i = 0; i < 5; i++) { char b[16] = {0}; int fd = open(n[i], 0);
          int k = fd < 0 ? 0 : read(fd, b, 6); printf("%d %s\n", k, b); } return 0; }""",
        "-static",
    )
    expected = "6 jailed\n" * 4 + "0 \n"
    assert result_of(engine, [Opens()], [program, str(root)]) == (0, expected)


def test_a_fifo_does_not_block_the_supervisor(engine: Engine, guest: Guest, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    program = guest(
        "fifo",
        r"""int main(int c, char **v) { char b[9] = {0}; if (!fork()) {
            int w = open(v[1], O_WRONLY); return write(w, "through", 7) != 7; }
          int r = open(v[1], O_RDONLY); int n = read(r, b, 8); printf("%d %s\n", n, b);
          return 0; }""",
    )
    assert result_of(engine, [Opens()], [program, str(tmp_path / "fifo")]) == (0, "7 through\n")


def test_connect_is_made_on_the_callers_socket(
    engine: Engine, guest: Guest, tmp_path: Path
) -> None:
    class Connects(Interposer):
        @on("connect")
        def connect(self, tracee: Tracee, sockfd: int, addr: int, addrlen: int) -> Asking:
            address = tracee.read(addr, addrlen)
            yield Blocking(lambda: tracee.connect(sockfd, address))
            return Return(0)

    program = guest(
        "connect",
        r"""#include <sys/un.h>
        int main(int c, char **v) { struct sockaddr_un a = {AF_UNIX}; char b[9] = {0};
          for (int i = 1; i < 3; i++) { int s = socket(AF_UNIX, SOCK_STREAM, 0);
          strcpy(a.sun_path, v[i]); int r = connect(s, (void *)&a, sizeof a);
          printf("%d %d\n", r, r ? errno : 0); if (!r) { read(s, b, 5); puts(b); } } return 0; }""",
    )
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        argv = [program, str(tmp_path / "nowhere"), str(path)]
        connected = _greeted(engine, [Connects()], argv, listening)
    assert connected == (0, f"-1 {errno.ENOENT}\n0 0\nhello\n")


def _greeted(
    engine: Engine, stack: list[Interposer], argv: list[str], listening: socket.socket
) -> tuple[int, str]:
    from slic_harness import Running

    with Running(engine, stack, argv) as running:
        listening.setblocking(False)
        greeted: list[socket.socket] = []

        def accepted() -> bool:
            try:
                peer, _ = listening.accept()
            except BlockingIOError:
                return False
            peer.sendall(b"hello")
            greeted.append(peer)
            return True

        running.until(accepted, "a connection")
        try:
            return running.finish()
        finally:
            greeted[0].close()


@pytest.mark.root
def test_uname_is_that_of_the_callers_namespace(engine: Engine, guest: Guest) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    body = """if (unshare(CLONE_NEWUTS) || sethostname("elsewhere", 9)) return 9;"""
    before = os.uname()
    found = looked(engine, guest, "utsns", body, lambda t: t.native_uname().nodename)
    assert (found, os.uname()) == ("elsewhere", before)


def test_the_callers_terminal_is_its_dev_tty(engine: Engine, guest: Guest) -> None:
    """/dev/tty opened by the supervisor is the caller's terminal, not the supervisor's."""
    program = guest(
        "devtty",
        r"""int main(int c, char **v) { if (setsid() < 0) return 9; int t = open(v[1], O_RDWR);
          if (t < 0 || ioctl(t, TIOCSCTTY, 0)) return 8; int d = openat(AT_FDCWD, "/dev/tty",
          O_RDWR); if (d < 0) return 7; struct winsize w; return ioctl(d, TIOCGWINSZ, &w)
          || w.ws_col != 123; }""",
    )
    master, slave = os.openpty()
    try:
        fcntl.ioctl(master, 0x5414, struct.pack("=4H", 45, 123, 0, 0))
        name = os.ttyname(slave)
        assert result_of(engine, [Opens()], [program, name]) == (0, "")
    finally:
        os.close(master)
        os.close(slave)


def test_a_caller_without_a_terminal_has_no_dev_tty(engine: Engine, guest: Guest) -> None:
    """It gets ENXIO, not the supervisor's own terminal."""
    program = guest(
        "nodevtty",
        r"""int main(void) { if (setsid() < 0) return 9;
          int d = openat(AT_FDCWD, "/dev/tty", O_RDWR); return d >= 0 ? 8 : errno != ENXIO; }""",
    )
    assert result_of(engine, [Opens()], [program]) == (0, "")
