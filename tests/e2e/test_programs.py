"""Real programs at user level: a build, a big pipeline, and programs people type into."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .cluster import Cluster
from .terminal import on_terminal

MIB = 1024 * 1024


def _need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def _project(folder: Path, units: int) -> None:
    """A C project of many small files and one program that says what they add up to."""
    calls = "".join(f" + unit_{i}()" for i in range(units))
    externs = "".join(f"int unit_{i}(void);\n" for i in range(units))
    for i in range(units):
        (folder / f"unit_{i}.c").write_text(f"int unit_{i}(void) {{ return {i}; }}\n")
    (folder / "main.c").write_text(
        f'#include <stdio.h>\n{externs}int main(void) {{ printf("%d\\n", 0{calls}); return 0; }}\n'
    )
    (folder / "Makefile").write_text(
        "objects := main.o $(patsubst %,unit_%.o,$(shell seq 0 $(LAST)))\n"
        "program: $(objects)\n\t$(CC) -o $@ $^\n"
        "%.o: %.c\n\t$(CC) -c -o $@ $<\n\t@$(CC_NODE) >>nodes\n"
    )


def test_make_over_the_nodes(shared: Cluster, tmp_path: Path) -> None:
    _need("make", "gcc")
    _project(tmp_path, 12)
    result = shared.run(
        "make", "-j4", "CC=glurun gcc", "LAST=11",
        "CC_NODE=glurun sh -c 'echo $$GLUNIX_NODE'", cwd=tmp_path, timeout=100,
    )  # fmt: skip
    assert result.status == 0, result
    assert subprocess.run([tmp_path / "program"], capture_output=True).stdout == b"66\n"
    nodes = (tmp_path / "nodes").read_text().split()
    assert len(nodes) == 13
    assert len(set(nodes)) >= 3  # by load: one that is busy otherwise may get none


def test_make_stops_at_an_error(shared: Cluster, tmp_path: Path) -> None:
    """The compiler's status and words come through make."""
    _need("make", "gcc")
    (tmp_path / "bad.c").write_text("int main(void) { return nothing; }\n")
    (tmp_path / "Makefile").write_text("bad.o: bad.c\n\t$(CC) -c -o $@ $<\n")
    native = shared.run("make", "CC=gcc", cwd=tmp_path)
    result = shared.run("make", "CC=glurun gcc", cwd=tmp_path)
    assert result.status == native.status == 2
    assert result.err == native.err


@pytest.mark.slow
def test_tar_and_gzip(shared: Cluster, tmp_path: Path) -> None:
    """200 MiB through `tar c | glurun gzip | glurun gzip -d | tar x`, compared by hash."""
    _need("tar", "gzip")
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    copy.mkdir()
    noise = os.urandom(MIB) + bytes(3 * MIB)
    hashes = {}
    for number in range(52):
        data = number.to_bytes(4, "big") * 16 + noise[number:] + noise[:number]
        (source / f"file {number}").write_bytes(data)
        hashes[f"file {number}"] = hashlib.sha256(data).hexdigest()
    line = (
        f"tar -C {source} -c . | glurun gzip -1 | glurun -n 1 gzip -d | tar -C {copy} -x;"
        "echo ${PIPESTATUS[*]}"
    )
    result = shared.shell(line, timeout=120)
    assert (result.text, result.err) == ("0 0 0 0", b"")
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in copy.iterdir()}
    assert found == hashes


def test_bash(shared: Cluster) -> None:
    """Interactive. Without job control of its own: its stderr is another terminal than its
    controlling one (the paper's two pseudo-terminals), and there bash looks for it."""
    words = ["glurun", "-w", "node2", "bash", "--norc", "--noprofile", "-i"]
    with on_terminal(shared, *words) as t:
        t.expect("no job control in this shell")
        t.line("echo at-$GLUNIX_NODE")
        t.expect("at-node2\r\n")
        t.line("echo one | tr a-z A-Z")
        t.expect("ONE\r\n")
        t.line("sh -c 'echo asleep; exec sleep 1000'; echo interrupted-$?")
        t.expect("asleep\r\n")  # bash neither reads nor forks any more: it would take the ^C
        t.control("c")
        t.expect("home> ")
        t.line("echo status-$?")
        t.expect("status-130\r\n")
        t.line("sh -c 'echo reading; exec cat'")
        t.expect("reading\r\n")
        t.line("to cat")
        t.expect("to cat\r\nto cat\r\n")
        t.control("d")
        t.line("echo last-$((6*7))")
        t.expect("last-42\r\n")
        t.line("exit 3")
        assert t.ended() == 3


def test_python(shared: Cluster) -> None:
    with on_terminal(shared, "glurun", sys.executable, "-q") as t:
        t.expect(">>> ")
        t.line("import os; os.environ['GLUNIX_NODE'].startswith('node')")
        t.expect("True")
        t.expect(">>> ")
        t.line("for i in range(3): print('line', i)")
        t.line("")
        for i in range(3):
            t.expect(f"line {i}\r\n")
        t.expect(">>> ")
        t.line("while True: pass")
        t.line("")
        t.expect("... ")
        t.control("c")
        t.expect("KeyboardInterrupt")  # before or after the next prompt: another stream
        t.line("input('name? ')")
        t.expect("name? ")
        t.line("me")
        t.expect("'me'")
        t.expect(">>> ")
        t.line("raise SystemExit(4)")
        assert t.ended() == 4


def test_vim_by_script(shared: Cluster, tmp_path: Path) -> None:
    _need("vim")
    text = tmp_path / "text"
    text.write_text("one\ntwo\nthree\n")
    result = shared.glurun("vim", "-u", "NONE", "-es", "-c", "%s/t/T/g", "-c", "wq", str(text))
    assert result.status == 0, result
    assert text.read_text() == "one\nTwo\nThree\n"


def test_vim_by_hand(shared: Cluster, tmp_path: Path) -> None:
    _need("vim")
    text = tmp_path / "text"
    text.write_text("one\n")
    words = ["vim", "-u", "NONE", "-N", "-i", "NONE", str(text)]
    with on_terminal(shared, "glurun", *words, rows=30, columns=100) as t:
        t.expect("one")
        t.line(":set lines?")
        t.expect("lines=30")
        t.send("A more\x1bo")
        t.send("two\x1b:wq\r")
        assert t.ended() == 0
    assert text.read_text() == "one more\ntwo\n"
