"""restrict around real programs, and attacked by one that races the supervisor."""

import errno
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from slic_harness import result_of

from slic.engine import Capability, Engine
from slic.interposer import Interposer, on
from slic.interposers.restrict import Restrict, Rules
from slic.tracee import Tracee
from slic.verdict import PASS, Fail, Verdict

SYSTEM = """
[files]
read = ["/usr", "/etc", "/dev/null", "/dev/urandom", "/proc/filesystems", {read}]
write = ["/dev/null", {write}]
execute = ["/usr/bin", "/usr/lib/git-core", {execute}]
"""


def rules(
    read: Path | None = None,
    write: Path | None = None,
    execute: Path | None = None,
    network: str = "",
) -> Rules:
    def listed(path: Path | None) -> str:
        return f'"{path}"' if path else ""

    text = SYSTEM.format(read=listed(read), write=listed(write), execute=listed(execute))
    return Rules.load(text + network)


def sh(engine: Engine, stack: list[Interposer], script: str) -> tuple[int, str]:
    return result_of(engine, stack, ["/bin/sh", "-c", script + "\n"])


def test_a_shell_at_work(engine: Engine, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "secret").write_text("secret")
    script = f"""
    cd {work}
    echo one > a; echo two >> a; cat a; cp a b; mv b c; ln -s c d; cat d; mkdir e; touch -d @5 e/f
    stat -c %Y e/f; chmod 600 a; stat -c %a a; rm -r e; ls
    cat {tmp_path}/secret 2>/dev/null || echo refused
    (echo x > {tmp_path}/secret) 2>/dev/null || echo refused
    ln -s ../secret s; cat s 2>/dev/null || echo refused
    mv a {tmp_path} 2>/dev/null || echo refused
    cat /dev/stdin < c; echo out > /dev/stdout; cat <<END
here
END
    """
    status, output = sh(engine, [Restrict(rules(write=work))], script)
    words = "one two one two 5 600 a c d refused refused refused refused one two out here"
    assert (output.split(), status) == (words.split(), 0)
    assert sorted(p.name for p in work.iterdir()) == ["a", "c", "d", "s"]
    assert (tmp_path / "secret").read_text() == "secret"


def test_git_and_python(engine: Engine, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    script = f"""
    export HOME={work} GIT_CONFIG_NOSYSTEM=1; cd {work}
    git init -q . && echo x > f && git add f
    git -c user.name=n -c user.email=e commit -qm first && git log --format=%s
    git status --short
    /usr/bin/python3 -c 'import os, tempfile
open("p", "w").write("text"); os.replace("p", "q"); print(open("q").read())
try: open("{tmp_path}/out", "w")
except PermissionError: print("refused")'
    """
    status, output = sh(engine, [Restrict(rules(write=work))], script)
    assert (output.split(), status) == (["first", "text", "refused"], 0)


def test_what_may_be_executed(engine: Engine, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder in (good, bad):
        folder.mkdir()
        (folder / "script").write_text("#!/bin/sh\necho ran\n")
        (folder / "script").chmod(0o755)
    script = f"{good}/script; {bad}/script 2>/dev/null || echo $?"
    stack: list[Interposer] = [Restrict(rules(read=tmp_path, execute=good))]
    assert sh(engine, stack, script) == (0, "ran\n126\n")


def test_what_may_be_connected(engine: Engine, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        port = server.getsockname()[1]
        local.bind(str(tmp_path / "sock"))
        local.listen()
        program = f"""
import socket
s = socket.create_connection(("127.0.0.1", {port})); s.sendall(b"hello"); print("connected")
u = socket.socket(socket.AF_UNIX); u.connect("{tmp_path}/sock"); print("connected")
for make in (lambda: socket.create_connection(("127.0.0.1", 1)),
             lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
             lambda: socket.create_server(("127.0.0.1", 0))):
    try: make()
    except OSError as e: print(e.errno)
"""
        network = f'[network]\nconnect = ["127.0.0.1:{port}", "unix:{tmp_path}"]'
        stack: list[Interposer] = [Restrict(rules(network=network))]
        result = result_of(engine, stack, ["/usr/bin/python3", "-c", program])
        assert result == (0, f"connected\nconnected\n{f'{errno.EACCES}' + chr(10)}" + "13\n13\n")
        accepted, _ = server.accept()
        with accepted:
            assert accepted.recv(5) == b"hello"


# -- the attack --------------------------------------------------------------------------------
ATTACK = r"""
#include <pthread.h>
#include <sys/mman.h>
/* Tries to open SECRET while another thread exchanges the name in memory, and another process
   exchanges the link. Prints how often it read the secret, and how often the allowed file. */
static char name[2][200]; static volatile char used[200]; static volatile int over;
static void *exchange(void *unused) {
  for (unsigned i = 0; !over; i++) memcpy((void *)used, name[i & 1], 200);
  return 0; }
int main(int argc, char **argv) {
  pthread_t thread; int stolen = 0, allowed = 0; char got[8];
  strcpy(name[0], argv[1]); strcpy(name[1], argv[2]); memcpy((void *)used, name[0], 200);
  int rounds = atoi(argv[3]), threaded = strcmp(argv[1], argv[2]);
  if (threaded) pthread_create(&thread, 0, exchange, 0);
  for (int i = 0; i < rounds; i++) {
    int fd = open((char *)used, O_RDONLY);
    if (fd < 0) continue;
    if (read(fd, got, 6) == 6 && !memcmp(got, "secret", 6)) stolen++; else allowed++;
    close(fd); }
  over = 1; if (threaded) pthread_join(thread, 0);
  printf("%d %d\n", stolen, allowed); return 0; }
"""


class CheckedThenContinued(Interposer):
    """What restrict must not be: looks at the name, then lets the kernel read it again."""

    def __init__(self, secret: Path) -> None:
        self.secret = secret

    @on("openat")
    def opened(self, tracee: Tracee, dirfd: int, filename: int) -> Verdict:
        leads = os.path.realpath(tracee.path(dirfd, tracee.cstring(filename)))
        return Fail(errno.EACCES) if leads == str(self.secret) else PASS


@pytest.fixture
def arena(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/file").write_text("public")
    (tmp_path / "secret").write_text("secret")
    return tmp_path


def exchanging(link: Path, targets: list[Path]) -> "subprocess.Popen[bytes]":
    """A process outside that exchanges what `link` leads to as fast as it can."""
    program = (
        "import os, sys\n"
        "link, *targets = sys.argv[1:]\n"
        "n = 0\n"
        "while os.getppid() != 1:\n"
        "    n += 1\n"
        "    os.symlink(targets[n % 2], link + '.new')\n"
        "    os.rename(link + '.new', link)\n"
    )
    return subprocess.Popen(["/usr/bin/python3", "-ISc", program, link, *targets])


@pytest.mark.parametrize("held", [True, False], ids=["restrict", "checked-then-continued"])
@pytest.mark.parametrize("by", ["memory", "link"])
def test_the_race(
    engine: Engine, guest: Callable[..., str], arena: Path, by: str, held: bool
) -> None:
    """The same attack beats the naive interposer and not restrict."""
    attack = guest("attack", ATTACK, "-pthread")
    allowed, secret, link = arena / "work/file", arena / "secret", arena / "work/link"
    link.symlink_to(allowed)
    names = [str(allowed), str(secret)] if by == "memory" else [str(link)] * 2
    if held:
        policy = rules(read=arena / "work", execute=Path(attack).parent)
        stack: list[Interposer] = [Restrict(policy)]
    else:
        stack = [CheckedThenContinued(secret)]
    outside = exchanging(link, [allowed, secret]) if by == "link" else None
    try:
        stolen = kept = 0
        for _ in range(1 if held else 20):  # the naive one is beaten in one of them
            status, output = result_of(engine, stack, [attack, *names, "1500"])
            assert status == 0
            counts = [int(word) for word in output.split()]
            stolen, kept = stolen + counts[0], kept + counts[1]
            if stolen:
                break
    finally:
        if outside is not None:
            outside.kill()
            outside.wait()
    if held:
        assert stolen == 0
        assert kept > 0  # it did open the allowed file meanwhile
    else:
        assert stolen > 0


EXCHANGED = r"""
#include <pthread.h>
#include <sys/wait.h>
/* Executes GOOD while a thread exchanges the name for BAD, again and again; BAD prints "ran" only
   if it gets to open a file. */
static char name[2][200]; static volatile char used[200]; static volatile int over;
static void *exchange(void *unused) {
  for (unsigned i = 0; !over; i++) memcpy((void *)used, name[i & 1], 200);
  return 0; }
static int run(void *unused) {
  execl((char *)used, "x", (char *)0); _exit(1); }
#include <sched.h>
int main(int argc, char **argv) {
  static char stack[65536]; pthread_t thread; int killed = 0;
  strcpy(name[0], argv[1]); strcpy(name[1], argv[2]); memcpy((void *)used, name[0], 200);
  pthread_create(&thread, 0, exchange, 0);
  for (int i = 0; i < atoi(argv[3]); i++) {
    int status; pid_t child = clone(run, stack + 65536, CLONE_VM | CLONE_VFORK | SIGCHLD, 0);
    waitpid(child, &status, 0); killed += WIFSIGNALED(status); }
  over = 1; pthread_join(thread, 0); printf("killed %d\n", killed); return 0; }
"""
OPENS = r"""
int main(int argc, char **argv) {
  write(1, "started\n", 8);
  int fd = open("/etc/passwd", O_RDONLY); if (fd >= 0) write(1, "evil\n", 5); return 0; }
"""


def test_a_program_exchanged_during_exec_opens_nothing(
    engine: Engine, guest: Callable[..., str], arena: Path, guest_folder: Path
) -> None:
    """vfork shares memory with a thread that overwrites the name; the slipped image is killed."""
    evil = guest("evil", OPENS, "-static")
    racer = guest("racer", EXCHANGED, "-pthread")
    good = arena / "work"
    (good / "racer").write_bytes(Path(racer).read_bytes())
    (good / "racer").chmod(0o755)
    stack: list[Interposer] = [Restrict(rules(read=good, execute=good))]
    argv = [str(good / "racer"), "/usr/bin/true", evil, "300"]
    status, output = result_of(engine, stack, argv)
    assert status == 0
    assert "evil" not in output
    slipped = int(output.split("killed ")[1])
    assert slipped > 0, "the race was never won: the test shows nothing"
    if Capability.PROCESS in engine.capabilities:
        assert "started" not in output  # not one instruction of it ran
