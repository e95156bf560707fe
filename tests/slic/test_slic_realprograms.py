"""Programs that people use with every one of their calls caught, on every engine; long form only.

The short form (narrow policies) is tests/realprograms.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slic.registry import ANSWERING, engines

if not os.environ.get("GLUNIX_LONG"):
    pytest.skip("the long form only: GLUNIX_LONG=1", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
WORKS = [name for name in ANSWERING if engines()[name].unavailable() is None]

MAKE = r"""
printf 'all: prog\nprog: a.o b.o\n\tgcc -o $@ $^\n%%.o: %%.c\n\tgcc -O1 -c $<\n' >Makefile
printf 'int b(void); int main(void) { return b() - 42; }\n' >a.c
printf 'int b(void) { return 42; }\n' >b.c
make -j2 | sort; ./prog; echo "prog $?"; make; touch b.c; make -j2 2>&1 | tail -1
printf 'int b(void) { return }\n' >b.c; make >/dev/null 2>&1; echo "make $?"
"""
GIT = r"""
export GIT_AUTHOR_DATE='2000-01-01T00:00:00Z' GIT_COMMITTER_DATE='2000-01-01T00:00:00Z' HOME=$PWD
git init -q -b main . && git config user.email a@b && git config user.name n
for i in 1 2 3; do echo "line $i" >>file; git add file; git commit -q -m "commit $i"; done
git log --format='%H %s'; git gc -q; git fsck; git branch x; git checkout -q x
echo x >>file; git commit -qam x; git checkout -q main; git merge -q x; git status --short
git diff HEAD~1 --stat; git stash list; ls
"""
TAR = r"""
mkdir -p tree/sub; for i in $(seq 50); do head -c $((i * 321)) /dev/zero >tree/sub/f$i; done
ln -s sub/f1 tree/link; ln tree/sub/f2 tree/hard; mkfifo tree/fifo; chmod 640 tree/sub/f3
tar cf - tree | tee >(wc -c >size) | (mkdir out; cd out; tar xpf -); cat size
diff -r --no-dereference tree/sub out/tree/sub && echo same; ls -l out/tree | wc -l
tar czf a.tgz tree && tar tzf a.tgz | wc -l; stat -c '%a %h' out/tree/sub/f3 out/tree/hard
"""
BASH = r"""
trap 'echo term' TERM; trap 'echo exit' EXIT; trap 'echo usr1' USR1
kill -USR1 $$; (trap - EXIT; kill -TERM $$; exit 3); echo "sub $?"
f() { local IFS=:; set -- $1; echo "$#"; }; f a:b:c
cat <(echo one) <(echo two) | while read -r x; do echo "got $x"; done
coproc { while read -r l; do echo "co $l"; done; }
echo hi >&"${COPROC[1]}"; read -r r <&"${COPROC[0]}"
echo "$r"; eval "exec ${COPROC[1]}>&-"; wait; set -o pipefail; false | true; echo "pf $?"
for i in 1 2 3 4 5; do sleep 0.0$i & done; wait; echo done
(sleep 60 & p=$!; kill -KILL $p; wait $p 2>/dev/null; echo "killed $?")
timeout 0.1 sleep 9; echo "timeout $?"; read -t 0.05 x </dev/zero; echo "read $?"
for n in $(seq 200); do : $((s += n)); done; echo $s; exec 3<>pipe; echo through >&3; head -1 <&3
"""
PYTHON = r"""
import multiprocessing as mp, threading, subprocess, os, signal, tempfile, sys
def square(n): return n * n
def main():
    with mp.get_context(sys.argv[1]).Pool(3) as pool: print(sum(pool.map(square, range(200))))
    found, lock = [], threading.Lock()
    def add(n):
        with lock: found.append(n)
    threads = [threading.Thread(target=add, args=(n,)) for n in range(50)]
    for t in threads: t.start()
    for t in threads: t.join()
    print(sorted(found) == list(range(50)))
    q = mp.Queue(); p = mp.Process(target=q.put, args=("from child",)); p.start(); print(q.get())
    p.join(); print(p.exitcode)
    print(subprocess.run(["sh", "-c", "echo out; exit 4"], capture_output=True))
    p = mp.Process(target=signal.pause); p.start(); p.terminate(); p.join(); print(p.exitcode)
    with tempfile.TemporaryFile() as f: f.write(b"x" * 99999); f.seek(5); print(len(f.read()))
if __name__ == "__main__": main()
"""
SQLITE = r"""
sqlite3 db 'create table t(a integer primary key, b); pragma journal_mode=wal;'
for w in 1 2 3; do (for i in $(seq 15); do
  echo ".timeout 20000
insert into t(b) values($w);" | sqlite3 db; done) & done; wait
sqlite3 db 'select b, count(*) from t group by b; pragma integrity_check;'
"""
PROGRAMS = {
    "bash": ["bash", "-c", "mkfifo pipe;" + BASH],
    "git": ["bash", "-c", GIT],
    "make": ["bash", "-c", MAKE],
    "python-fork": ["python3", "guest.py", "fork"],
    "python-spawn": ["python3", "guest.py", "spawn"],
    "sqlite": ["bash", "-c", SQLITE],
    "tar": ["bash", "-c", TAR],
}
NARROW = "passthrough:openat,execve,connect,uname"


def outcome(folder: Path, argv: list[str], before: list[str]) -> tuple[int, str, str]:
    """Run in an empty folder; status, standard output, standard error (the folder's name out)."""
    folder.mkdir()
    (folder / "guest.py").write_text(PYTHON)
    environment = {"PATH": os.environ["PATH"], "LANG": "C", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*before, *argv], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stdout, done.stderr.replace(str(folder), "")


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("policy", [NARROW, "passthrough"], ids=["narrow", "all"])
@pytest.mark.parametrize("name", WORKS)
def test_as_without_slic(name: str, policy: str, program: str, tmp_path: Path) -> None:
    argv = PROGRAMS[program]
    needed = {"git": "git", "make": "make", "sqlite": "sqlite3", "tar": "tar"}.get(program)
    if needed and shutil.which(needed) is None:
        pytest.skip(f"{needed} is not installed")
    native = outcome(tmp_path / "native", argv, [])
    slic = [sys.executable, "-m", "slic.cli", "run", "-e", name, "-i", policy, "--"]
    assert outcome(tmp_path / "slic", argv, slic) == native
    assert native[0] == 0 and native[1].count("\n") > 3
