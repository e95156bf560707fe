"""crypt around real programs: what they do to a directory of plain files, they do to this one."""

import os
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slic_harness import result_of

pytest.importorskip("cryptography", reason="the package `cryptography` is missing")

from slic.engine import Engine
from slic.interposer import Interposer
from slic.interposers.crypt import Crypt
from slic.interposers.support.cipherfile import CipherFile
from slic.interposers.support.cipherheader import HEADER, MAGIC

KEY = bytes(range(32))


@pytest.fixture
def crypt(tmp_path: Path) -> Iterator[Crypt]:
    (tmp_path / "secret").mkdir()
    made = Crypt(str(tmp_path / "secret"), KEY)
    yield made
    made.finished()


def sh(engine: Engine, stack: list[Interposer], script: str, folder: object) -> tuple[int, str]:
    return result_of(engine, stack, ["/bin/bash", "-c", f"cd {folder} || exit 9\n{script}"])


def text_of(path: Path) -> bytes:
    """The plain text of a stored file; AssertionError if it is stored plain."""
    fd = os.open(path, os.O_RDONLY)
    try:
        assert os.pread(fd, len(MAGIC), 0) == MAGIC or os.fstat(fd).st_size == 0, path
        return CipherFile(fd, KEY).read(0, 1 << 30)
    finally:
        os.close(fd)


SCRIPTS = {
    "append": "echo one > f; echo two >> f; cat f; wc -c f; stat -c %s f; ls -l f | cut -d' ' -f5",
    "dd": "dd if=/dev/zero of=f bs=1000 count=9 2>&1 | head -2; printf XY | dd of=f bs=1 seek=5000 "
    "conv=notrunc 2>/dev/null; dd if=f bs=1 skip=4999 count=4 2>/dev/null | od -c; stat -c %s f",
    "copies": "seq 5000 > a; cp a b; cmp a b && mv b c && md5sum < c; cp -a c d; cat a d | wc -c; "
    "cp --sparse=always a e; cmp a e && ln a g && cmp a g; tail -c 10 g; split -b 9000 a x; ls; "
    "cat x* | cmp - a && echo same",
    "offsets": "(echo a; echo b; (echo c; echo d); echo e) > f; cat f; "
    "exec 3< f; read x <&3; (read y <&3; echo $y); read z <&3; echo $x $z; exec 4<> f; "
    "read w <&4; echo Z >&4; cat f; echo new > /dev/stdout > f; cat f; exec 5> f; echo 1 >&5; "
    "truncate -s 1 f; echo 2 >&5; od -c f",
    "reading while it grows": "exec 3> f; exec 4< f; echo one >&3; cat <&4; echo two >&3; cat <&4",
    "sed": "seq 100 > f; sed -i s/1/x/ f; sort -r f | head -3; grep -c x f; tac f | tail -1; "
    "tar cf t.tar f; rm f; tar xf t.tar; md5sum f; gzip f; gunzip f.gz; md5sum f",
    "script": "printf 'echo ran $1\\n' > s; sh s one; bash ./s two; . ./s three",
    "attributes": "echo x > f; chmod 600 f; touch -d @99 f; stat -c '%a %s %Y' f; cp -p f g; "
    "stat -c '%a %s %Y' g; test -s f && test g -nt / || echo older; du -b f | cut -f1; "
    "find . -size -3c | sort",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_shell_programs(engine: Engine, crypt: Crypt, tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").mkdir()
    native = sh_native(SCRIPTS[name], tmp_path / "plain")
    assert sh(engine, [crypt], SCRIPTS[name], crypt.directory) == native
    plain = {p.name: p.read_bytes() for p in (tmp_path / "plain").iterdir()}
    stored = {p.name: text_of(p) for p in Path(crypt.directory).iterdir()}
    if name != "sed":  # a tar file holds times
        assert stored == plain


def sh_native(script: str, folder: Path) -> tuple[int, str]:
    import subprocess

    command = ["/bin/bash", "-c", f"cd {folder} || exit 9\n{script}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


CALLS = r"""
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
static void show(const char *what, long v) { printf("%s %ld %d\n", what, v, v < 0 ? errno : 0); }
int main(void) {
  char got[100]; struct stat st; memset(got, 0, 100);
  int fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0600);
  show("write", write(fd, "0123456789", 10));
  struct iovec v[2] = {{"ab", 2}, {"cde", 3}};
  show("writev", writev(fd, v, 2)); show("pwritev", pwritev(fd, v, 2, 1));
  show("pread", pread(fd, got, 100, 0)); printf("%.15s\n", got);
  struct iovec w[2] = {{got, 3}, {got + 50, 4}};
  lseek(fd, 2, SEEK_SET); show("readv", readv(fd, w, 2)); printf("%.3s %.4s\n", got, got + 50);
  show("end", lseek(fd, 0, SEEK_END)); show("cur", lseek(fd, -3, SEEK_CUR));
  show("hole", lseek(fd, 0, SEEK_HOLE));
  int twin = dup(fd); show("twin", lseek(twin, 0, SEEK_CUR));
  if (!fork()) { show("child", write(twin, "CH", 2)); fflush(stdout); _exit(0); }
  wait(0); show("parent", lseek(fd, 0, SEEK_CUR));
  show("ftruncate", ftruncate(fd, 5000)); fstat(fd, &st); show("size", st.st_size);
  show("ftruncate", ftruncate(fd, 12)); stat("f", &st); show("size", st.st_size);
  char *map = mmap(0, 12, PROT_READ, MAP_PRIVATE, fd, 0); printf("map %.12s\n", map);
  map = mmap(0, 12, PROT_READ, MAP_SHARED, fd, 0);
  show("pwrite", pwrite(fd, "ZZ", 2, 0)); printf("shared %.12s\n", map);
  int in = open("/proc/self/exe", O_RDONLY), out = open("g", O_RDWR | O_CREAT | O_TRUNC, 0600);
  off_t at = 0; fflush(stdout);
  show("sendfile out", sendfile(1, fd, &at, 5));
  show("append", write(open("f", O_WRONLY | O_APPEND), "end", 3));
  fstat(fd, &st); show("size", st.st_size); show("access", access("f", R_OK));
  show("read only", write(open("f", O_RDONLY), "x", 1));
  show("bad", pwrite(fd, (void *)strtol("8", 0, 0), 5, 0)); show("unlink", unlink("f"));
  show("after unlink", pwrite(fd, "!!", 2, 13)); show("pread", pread(fd, got, 100, 0));
  printf("%.15s\n", got); show("lock", lockf(fd, F_TLOCK, 0));
  show("flags", fcntl(fd, F_GETFL) & O_ACCMODE);
  fflush(stdout); (void)in; (void)out; return 0; }
"""


def test_calls(engine: Engine, crypt: Crypt, guest: Callable[..., str], tmp_path: Path) -> None:
    program = guest("cryptcalls", CALLS)
    (tmp_path / "plain").mkdir()
    native = sh_native(program, tmp_path / "plain")
    status, output = sh(engine, [crypt], program, crypt.directory)
    assert (status, output.splitlines()) == (native[0], native[1].splitlines())


THREADS = r"""
#include <pthread.h>
static int fd;
static void *run(void *line) {
  for (int i = 0; i < 100; i++) if (write(fd, line, 8) != 8) _exit(1);
  return 0; }
int main(void) {
  pthread_t t[4]; char *line[4] = {"aaaaaaa\n", "bbbbbbb\n", "ccccccc\n", "ddddddd\n"};
  fd = open("f", O_WRONLY | O_CREAT | O_APPEND, 0600);
  for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, run, line[i]);
  for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
  return 0; }
"""


def test_threads_write_whole_lines(engine: Engine, crypt: Crypt, guest: Callable[..., str]) -> None:
    program = guest("cryptthreads", THREADS, "-pthread")
    assert sh(engine, [crypt], program, crypt.directory) == (0, "")
    lines = text_of(Path(crypt.directory) / "f").decode().splitlines()
    assert sorted(lines) == sorted(c * 7 for c in "abcd" for _ in range(100))


def test_git(engine: Engine, crypt: Crypt) -> None:
    script = """
    export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat
    git init -q repo && cd repo && git config user.name n && git config user.email e
    for i in 1 2 3; do seq $i 500 > file$i; git add . && git commit -qm "commit $i" || exit 1; done
    git gc -q && git fsck && git log --format=%s && git status --short && git diff HEAD~1 --stat
    git checkout -q HEAD~2 && ls && git checkout -q - && git clone -q . ../copy && ls ../copy
    """
    status, output = sh(engine, [crypt], script, crypt.directory)
    assert status == 0, output
    expected = "commit 3 commit 2 commit 1 file3 | 498 "
    assert " ".join(output.split()).startswith(expected), output
    assert output.split()[-4:] == ["file1", "file1", "file2", "file3"]
    pack = next((Path(crypt.directory) / "repo/.git/objects/pack").glob("*.pack"))
    assert text_of(pack).startswith(b"PACK")
    assert pack.read_bytes().startswith(MAGIC)


def test_sqlite(engine: Engine, crypt: Crypt, tmp_path: Path) -> None:
    program = """
import sqlite3
base = sqlite3.connect("base.db")
with base:
    base.execute("create table t(a integer primary key, b text)")
    base.executemany("insert into t(b) values(?)", [("text " * 20,)] * 500)
with base: base.execute("update t set b = 'changed' where a % 7 = 0")
try:
    with base:
        base.execute("delete from t"); raise KeyError
except KeyError: pass
other = sqlite3.connect("base.db")
print(other.execute("select count(*), sum(b = 'changed') from t").fetchone())
base.execute("vacuum"); print(base.execute("pragma integrity_check").fetchone())
"""
    (tmp_path / "use.py").write_text(program)
    command = f"/usr/bin/python3 {tmp_path}/use.py"
    assert sh(engine, [crypt], command, crypt.directory) == (0, "(500, 71)\n('ok',)\n")
    plain = tmp_path / "plain.db"
    plain.write_bytes(text_of(Path(crypt.directory) / "base.db"))
    base = sqlite3.connect(plain)
    assert base.execute("select count(*) from t").fetchone() == (500,)
    base.close()
    assert (Path(crypt.directory) / "base.db").stat().st_size > HEADER


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the program sqlite3 is not installed")
def test_the_sqlite_shell(engine: Engine, crypt: Crypt) -> None:
    script = "sqlite3 b.db 'create table t(a); insert into t values(1),(2); select sum(a) from t;'"
    assert sh(engine, [crypt], script + "; sqlite3 b.db .dump | wc -l", crypt.directory) == (
        0,
        "3\n6\n",
    )


FILL = """
import os, sys
out = os.open("big", os.O_WRONLY | os.O_CREAT)
taken = 0
try:
    while True:
        taken += os.write(out, b"x" * 5000)
except OSError as error:
    print(error.strerror, taken)
"""


def test_what_was_written_before_an_error_can_be_read(
    engine: Engine, crypt: Crypt, tmp_path: Path
) -> None:
    """EFBIG by a limit of the supervisor: it is the one that needs no disk of a test's own."""
    (tmp_path / "fill.py").write_text(FILL)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (123_456, before[1]))
    try:
        status, output = sh(engine, [crypt], f"python3 -S {tmp_path}/fill.py", crypt.directory)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status == 0
    assert output.startswith("File too large ")
    taken = int(output.split()[-1])
    assert 123_456 - HEADER - 31 * 28 - 5000 < taken < 123_456
    assert text_of(Path(crypt.directory) / "big") == b"x" * taken
    assert sh(engine, [crypt], "wc -c < big", crypt.directory) == (0, f"{taken}\n")
