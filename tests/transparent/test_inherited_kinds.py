"""Inherited descriptors above 2 that are asked for at home: both ways, directories, sockets."""

from __future__ import annotations

import pytest

from .compare import TRANSPARENT, Both

BOTH_WAYS = [
    "exec 5<>f; $G sh -c 'echo one >&5; echo two >&5'; cat f; cat <&5",
    "seq 9 >f; exec 5<>f; $G sh -c 'read a <&5; echo X >&5; read b <&5; echo $a $b'; cat f;"
    " cat <&5",
    "seq 9 >f; exec 5<>f; read a <&5; $G sh -c 'cat <&5; echo end >&5'; tail -n 2 f",
    "exec 5<>f; $G $PYTHON -c 'import os; os.write(5, b\"hello world\"); os.lseek(5, 6, 0);"
    " print(os.read(5, 9), os.pread(5, 3, 1), os.fstat(5).st_size); os.pwrite(5, b\"J\", 0);"
    " os.ftruncate(5, 5); print(os.lseek(5, 0, 2))'; cat f",
    "exec 5<>f 6>&5; $G sh -c 'echo five >&5; echo six >&6'; cat f",
    "exec 5<>f; $G sh -c 'echo five >&5; echo out; echo six >&5' >>f; cat f",
    "seq 5 >f; exec 5<>f; $G sh -c 'exec 6<>/dev/fd/5; read a <&6; echo $a; echo Y >&6; read b <&5;"
    " echo $b'; cat f",
    "(flock 9; $G sh -c 'flock -n 9 && echo ours') 9<>lock; flock -n lock echo free",
    "mkfifo p; exec 5<>p; echo first >&5; $G sh -c 'read a <&5; echo $a; echo second >&5';"
    " read b <&5; echo $b",
    "mkfifo p; exec 5<>p; (sleep 0.3; echo late >&5) & $G sh -c 'read a <&5; echo got $a'; wait",
    "mkfifo p; exec 5<>p; for n in 1 2 3; do echo; done >&5;"
    " for n in 1 2 3 4 5 6; do $G sh -c 'read x <&5; echo ran; echo >&5' & done; wait",
    "ulimit -c 0; ulimit -f 1; exec 5<>f; $G sh -c 'seq 1000 >&5; echo $?'; wc -c <f",
    "seq 3 >f; exec 5<>f; $G $PYTHON -c 'import mmap; m = mmap.mmap(5, 6, prot=mmap.PROT_READ);"
    " print(m[:])'",
]  # fmt: skip

DIRECTORIES = [
    "mkdir d; seq 3 >d/f; exec 5<d; $G $PYTHON -c 'import os; fd = os.open(\"f\", 0, dir_fd=5);"
    " print(os.read(fd, 9), os.listdir(5), os.stat(\"f\", dir_fd=5).st_size);"
    " os.mkdir(\"sub\", dir_fd=5); os.rename(\"f\", \"g\", src_dir_fd=5, dst_dir_fd=5);"
    " fd = os.open(\"sub/new\", os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=5); os.write(fd, b\"x\")';"
    " find d | sort; cat d/g d/sub/new; stat -c %a d/sub/new",
    "mkdir d; echo hello >d/f; exec 5<d; $G $PYTHON -c 'import os; os.fchdir(5);"
    " print(open(\"f\").read(), os.listdir(\".\"), os.path.basename(os.getcwd()));"
    " os.unlink(\"f\")'; ls d",
    "mkdir d; exec 5<d; $G $PYTHON -c 'import os\n"
    "try: os.write(5, b\"x\")\n"
    "except OSError as error: print(error.strerror)\n"
    "try: os.read(5, 1)\n"
    "except OSError as error: print(error.strerror)\n"
    "try: os.open(\"none\", 0, dir_fd=5)\n"
    "except OSError as error: print(error.strerror)\n"
    "print(os.fstat(5).st_mode & 0o170000 == 0o40000)'",
]  # fmt: skip


@pytest.mark.parametrize("line", BOTH_WAYS + DIRECTORIES)
def test_same_line(both: Both, line: str) -> None:
    both.same(line)


@pytest.mark.parametrize("engine", ["ptrace-seccomp", "ptrace"])
def test_other_engines(both: Both, engine: str) -> None:
    line = f"{BOTH_WAYS[1]}; rm f; {DIRECTORIES[0]}"
    native, ours = both.run(line, ""), both.run(line, f"{TRANSPARENT} --engine={engine}")
    assert ours == native
