"""The real programs: how each is prepared, started, and what of it is compared.

Owns the list `PROGRAMS`. Each is made ready in an empty folder by `prepare`, which gives the argv;
it is run there under some wrap, and `artefacts` tells in text what it left in the folder. What
differs from run to run (order of lines under `make -j2`, the name of the folder) is normalised
away; nothing else is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glunix.compare.build import compile_c

DATA = Path(__file__).resolve().parent / "data"

# What a pass-through policy subscribes to: the calls that SLIC's own extensions care about.
CALLS = (
    "openat", "execve", "execveat", "clone", "clone3", "fork", "vfork", "wait4", "waitid", "kill",
    "tgkill", "exit_group", "setpgid", "setsid", "uname", "connect", "bind", "ioctl", "unlink",
    "unlinkat", "rename", "mkdir", "chdir", "pipe2", "socket",
)  # fmt: skip


@dataclass(frozen=True)
class Program:
    """One real program. commands: those it needs on PATH. deadline: seconds, native."""

    name: str
    prepare: Callable[[Path], list[str]]
    commands: tuple[str, ...] = ()
    artefacts: Callable[[Path], str] = lambda folder: ""
    normalise: Callable[[str], str] = lambda text: text
    status: int = 0
    input: bytes = b""
    calls: tuple[str, ...] = CALLS
    deadline: float = 30.0

    def missing(self) -> str | None:
        """Which command is not installed, in words."""
        absent = [command for command in self.commands if shutil.which(command) is None]
        return f"not installed: {', '.join(absent)}" if absent else None


def sort_lines(text: str) -> str:
    """The lines in order: for programs that print from several processes at once."""
    return "\n".join(sorted(text.splitlines()))


def digest_of(*names: str) -> Callable[[Path], str]:
    """`name sha256` of each file that matches one of the patterns `names`."""

    def artefacts(folder: Path) -> str:
        files = sorted({path for name in names for path in folder.glob(name) if path.is_file()})
        assert files, f"nothing of {names} was made"
        lines = (
            f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            for path in files
        )
        return "\n".join(lines)

    return artefacts


def script(text: str, *, shell: str = "/bin/sh") -> Callable[[Path], list[str]]:
    """A prepare that only gives `shell -c text`."""
    return lambda folder: [shell, "-c", text]


# -- make and gcc ----------------------------------------------------------------------------------

MODULES = 11
MAKEFILE = """CFLAGS = -O1 -Wall
OBJECTS = $(patsubst %.c,%.o,$(sort $(wildcard *.c)))
all: check
check: total
\t./total > result
\tcat result
total: $(OBJECTS)
\t$(CC) -o $@ $^
%.o: %.c all.h
\t$(CC) $(CFLAGS) -c -o $@ $<
"""


def c_project(folder: Path) -> list[str]:
    """Twelve C files, a header and a Makefile; building runs the result as well."""
    calls = []
    for n in range(MODULES):
        body = "\n".join(
            f"static long step{n}_{i}(long x) {{ return x * {i + 3} + {n}; }}" for i in range(20)
        )
        uses = " ".join(f"x = step{n}_{i}(x) % 1000003;" for i in range(20))
        source = f'#include "all.h"\n{body}\nlong module{n}(long x) {{ {uses} return x; }}\n'
        (folder / f"module{n}.c").write_text(source, encoding="ascii")
        calls.append(f"x += module{n}(x);")
    prototypes = "\n".join(f"long module{n}(long x);" for n in range(MODULES))
    (folder / "all.h").write_text(f"#include <stdio.h>\n{prototypes}\n", encoding="ascii")
    main = f'long x = 1; {" ".join(calls)} printf("total %ld\\n", x); return 0;'
    (folder / "main.c").write_text(f'#include "all.h"\nint main(void) {{ {main} }}\n')
    (folder / "Makefile").write_text(MAKEFILE, encoding="ascii")
    return ["make", "-j2", "--no-print-directory"]


# -- git, tar --------------------------------------------------------------------------------------

GIT = """
set -e
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=ada@example.org
export GIT_COMMITTER_NAME=Ada GIT_COMMITTER_EMAIL=ada@example.org GIT_PAGER=cat
export GIT_AUTHOR_DATE="2001-02-03T04:05:06Z" GIT_COMMITTER_DATE="2001-02-03T04:05:06Z"
git init -q -b main repository
cd repository
for n in 1 2 3 4 5; do
    seq $n 200 > numbers
    echo "text $n" > file$n
    git add -A
    git commit -q -m "Commit $n"
done
git checkout -q -b side HEAD~2
echo side > side
git add side
git commit -q -m "On the side"
git checkout -q main
git merge -q -m "Merged" side
git log --graph --format='%h %an %ad %s' --date=iso --stat
git gc -q
git fsck --strict
git count-objects -v | grep -E '^(count|in-pack|packs|garbage):'
git status --short --branch
git archive HEAD | sha256sum
git grep -n text HEAD~1
git rev-parse HEAD
"""


def tree(folder: Path) -> list[str]:
    """A tree of files of many sizes with links, packed, squeezed, unpacked and compared."""
    top = folder / "tree"
    for n in range(120):
        path = top / f"d{n % 7}" / f"e{n % 3}" / f"file {n}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes((n * i * i) % 251 for i in range(n * n)))
        path.chmod(0o600 + n % 64)
        os.utime(path, (1_000_000_000 + n, 1_100_000_000 + n))
    (top / "symbolic").symlink_to("d1/e1/file 1")
    os.link(top / "d0" / "e0" / "file 21", top / "hard")
    return [
        "/bin/sh",
        "-c",
        "mkdir out && tar -cf - --sort=name tree | gzip -n | tee packed.tgz | gzip -d"
        " | tar -xpf - -C out && diff -r tree out/tree && cd out"
        " && find tree -printf '%y %m %s %l %n %p\\n' | grep -v '^d' | sort"
        " && tar -tvf ../packed.tgz --utc | awk '{ print $1, $3, $4, $6 }' | sort | sha256sum",
    ]


def tree_digests(folder: Path) -> str:
    return digest_of("out/tree/**/*")(folder)


# -- sqlite, vim -----------------------------------------------------------------------------------

SQLITE = """
import sqlite3, subprocess, sys
worker = '''
import sqlite3, sys
db = sqlite3.connect("load.db", timeout=60, isolation_level=None)
for n in range(40):
    db.execute("BEGIN IMMEDIATE")
    (last,) = db.execute("SELECT max(total) FROM log").fetchone()
    db.execute("INSERT INTO log VALUES (?, ?, ?)", (sys.argv[1], n, last + 1))
    db.execute("COMMIT")
'''
for mode in ("wal", "delete"):
    db = sqlite3.connect("load.db", timeout=60, isolation_level=None)
    print(db.execute(f"PRAGMA journal_mode={mode}").fetchone())
    db.execute("PRAGMA synchronous=OFF")
    db.execute("DROP TABLE IF EXISTS log")
    db.execute("CREATE TABLE log (who, n, total)")
    db.execute("INSERT INTO log VALUES ('start', 0, 0)")
    db.close()
    workers = [subprocess.Popen([sys.executable, "-c", worker, str(w)]) for w in range(3)]
    print([w.wait() for w in workers])
    db = sqlite3.connect("load.db", timeout=60)
    print(db.execute("SELECT who, count(*), sum(n) FROM log GROUP BY who ORDER BY who").fetchall())
    print(db.execute("SELECT count(DISTINCT total), max(total) FROM log").fetchone())
    print(db.execute("PRAGMA integrity_check").fetchone())
    db.close()
"""

SQL = """
PRAGMA journal_mode=WAL;
CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, value REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
INSERT INTO t SELECT i, 'name ' || (i * 7919 % 30011), i / 4.0 FROM n;
CREATE INDEX by_name ON t(name);
UPDATE t SET value = value + 1 WHERE id % 3 = 0;
DELETE FROM t WHERE id % 5 = 0;
SELECT count(*), sum(value), min(name), max(name) FROM t;
SELECT id FROM t WHERE name = 'name 7919';
VACUUM;
PRAGMA integrity_check;
.backup copy.db
.open copy.db
SELECT count(*) FROM t;
"""


def vim(folder: Path) -> list[str]:
    """Edits a file by commands: substitution, a macro, a filter, a second file."""
    (folder / "text").write_text("".join(f"line {n} of it\n" for n in range(1, 101)))
    commands = (
        "%s/of it/of the text/g",
        "g/7/d",
        "1,5!sort -r",
        "normal! ggIfirst: ",
        "$put =range(1,3)",
        "write",
        "g/line 1/w! >> second",
        "quit",
    )
    return ["vim", "-es", "-u", "NONE", "-n", *(x for c in commands for x in ("-c", c)), "text"]


# -- scripts of ours, static binaries -------------------------------------------------------------

ONE_LINE = (
    "import hashlib, json, os, sys, tempfile; data = sys.stdin.read().split();"
    " print(len(data), hashlib.sha256(' '.join(data).encode()).hexdigest());"
    " print(json.dumps({'cwd': os.getcwd() == os.environ['PWD'], 'uid': os.getuid()}))"
)
PIPELINE = r"""
seq 1 3000 | awk '{ print $1, $1 % 7 }' | sort -k2,2n -k1,1nr | head -n 500 | cut -d' ' -f1 \
  | paste -sd+ | bc 2>/dev/null || seq 1 3000 | tail -n 1
yes data | head -c 3000000 | gzip -nc | gzip -dc | tee >(md5sum >digest) | wc -c
while [ ! -s digest ]; do :; done; cat digest
(echo b; echo a >&2; echo c) 2>&1 | sort | tr '\n' ' '; echo
for i in 1 2 3; do echo $i; done | while read -r n; do seq $n | xargs -n 1 -P 2 echo | wc -l; done
find /usr/include -maxdepth 1 -name 'std*.h' | sort | xargs grep -c define | head -n 5
printf '%s\n' x y z | { read -r first; echo "first $first"; cat; } | nl
dd if=/dev/zero bs=4096 count=500 2>/dev/null | od -c | tail -n 1
mkfifo p; (sed 's/^/> /' <p) & echo through the fifo >p; wait
"""


def static(compiler: str) -> Callable[[Path], list[str]]:
    """A statically linked program, made by gcc or musl-gcc."""

    def prepare(folder: Path) -> list[str]:
        if compiler == "gcc":
            return [str(compile_c(DATA / "digest.c", "-static"))]
        made = folder / "digest"
        command = [compiler, "-static", "-O1", "-o", str(made), str(DATA / "digest.c")]
        subprocess.run(command, check=True, capture_output=True)
        return [str(made)]

    return prepare


def python(name: str) -> Callable[[Path], list[str]]:
    """One of our scripts, warnings being errors."""
    return lambda folder: [sys.executable, "-W", "error", str(DATA / name)]


NUMBERS = "".join(f"{n * 7919 % 10007}\n" for n in range(10007)).encode()

PROGRAMS = (
    Program("make-gcc", c_project, ("make", "gcc"), digest_of("*.o", "total"), sort_lines),
    Program("git", script(GIT), ("git", "sha256sum")),
    Program("tar", tree, ("tar", "gzip", "diff"), tree_digests),
    Program(
        "bash-session",
        lambda folder: ["/bin/bash", str(DATA / "session.sh")],
        ("bash", "rev", "ps", "timeout"),
    ),
    Program("python-processes", python("processes.py")),
    Program("python-threads", python("threads.py")),
    Program("sqlite-processes", lambda folder: [sys.executable, "-c", SQLITE]),
    Program(
        "sqlite-shell",
        lambda folder: ["sqlite3", "-batch", "load.db"],
        ("sqlite3",),
        input=SQL.encode(),
    ),
    Program("static-gcc", static("gcc"), ("gcc",), status=6, input=NUMBERS),
    Program("static-musl", static("musl-gcc"), ("musl-gcc",), status=6, input=NUMBERS),
    Program("vim", vim, ("vim",), digest_of("text", "second")),
    Program("python-line", lambda folder: [sys.executable, "-c", ONE_LINE], input=NUMBERS),
    Program("pipeline", script(PIPELINE, shell="/bin/bash"), ("bash", "awk", "bc", "md5sum")),
)
