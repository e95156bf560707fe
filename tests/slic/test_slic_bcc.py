"""`-i bpf:FILE.c`: programs written inline, where BCC is; and one line where it is not."""

import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from slic.ebpf import bcc
from slic.loading import LoadError, load

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """
BPF_HASH(forks, u32, u64);
RAW_TRACEPOINT_PROBE(sched_process_fork) {
  u32 key = SLIC_SUPERVISOR;
  forks.increment(key);
  return 0; }
"""


def test_without_bcc_the_absence_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "x.c").write_text(SOURCE)
    monkeypatch.setattr(bcc, "found", lambda: None)
    with pytest.raises(LoadError, match=r"x\.c: BCC is missing \(Debian: python3-bpfcc\)$"):
        load(f"bpf:{tmp_path}/x.c")
    with pytest.raises(LoadError, match=r"name a file: bpf:FILE\.c"):
        load("bpf")
    from glunix.cli import bpfprobes

    with pytest.raises(FileNotFoundError, match="BCC is missing"):
        bpfprobes.inline()


class Stub(types.ModuleType):
    """BCC's interface as it is used; what it does with a program is in the program's text."""

    class BPF(dict):  # type: ignore[type-arg]
        closed = 0

        def __init__(self, text: str, cflags: list[str]) -> None:
            assert cflags == [f"-DSLIC_SUPERVISOR={os.getpid()}"]
            if "wrong" in text:
                os.write(2, b"chatter\nx.c:1:2: error: unknown type name\n")
                raise Exception("Failed to compile BPF module <text>")
            super().__init__(forks={7: 9})

        def cleanup(self) -> None:
            Stub.BPF.closed += 1


def test_tables_are_shown_when_all_is_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bcc, "found", lambda: "/stub")
    monkeypatch.setitem(sys.modules, "bcc", Stub("bcc"))
    (tmp_path / "x.c").write_text(SOURCE)
    interposer = load(f"bpf:{tmp_path}/x.c")
    interposer.finished()
    assert capfd.readouterr().err == "forks: 1 rows\n  7: 9\n"
    assert Stub.BPF.closed == 1
    (tmp_path / "y.c").write_text("wrong")
    with pytest.raises(LoadError, match=r"Failed to compile.*: x\.c:1:2: error: unknown type name"):
        load(f"bpf:{tmp_path}/y.c")
    assert capfd.readouterr().err == ""
    with pytest.raises(LoadError, match="No such file"):
        load(f"bpf:{tmp_path}/absent.c")


def test_a_real_program_counts(tmp_path: Path) -> None:
    if bcc.found() is None:
        pytest.skip(bcc.MISSING)
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not Path(f"/lib/modules/{os.uname().release}/build").exists():
        pytest.skip(f"no headers of the kernel {os.uname().release} (Debian: linux-headers)")
    (tmp_path / "x.c").write_text(SOURCE)
    words = [sys.executable, "-m", "slic.cli", "run", "-i", f"bpf:{tmp_path}/x.c", "--"]
    done = subprocess.run(
        [*words, "sh", "-c", "/bin/true; /bin/true; exit 4"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 4
    found = re.search(r"forks: 1 rows\n  \d+: (\d+)\n", done.stderr)
    assert found and int(found[1]) >= 2, done.stderr
