"""`glurun -T --stats`: the bill of a program that makes a known number of calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from e2e.cluster import Cluster

from .compare import TRANSPARENT
from .terminal import Terminal

READS, SEEKS, PEEKS = 100, 7, 40
FILE = f"""
#include <unistd.h>
int main(void) {{
    char c;
    for (int i = 0; i < {READS}; i++) if (read(0, &c, 1) != 1) return 1;
    for (int i = 0; i < {SEEKS}; i++) if (lseek(0, 0, SEEK_CUR) != {READS}) return 2;
    return write(1, "0123456789", 10) != 10;
}}
"""
TTY = f"""
#include <sys/ioctl.h>
int main(void) {{
    int n;
    for (int i = 0; i < {PEEKS}; i++) if (ioctl(0, FIONREAD, &n)) return 1;
    return 0;
}}
"""

Compiled = Callable[[str, str], str]


def job(cluster: Cluster, place: Path, option: str, program: str) -> tuple[bytes, str]:
    """Output and bill of a program with a file as stdin."""
    (place / "in").write_bytes(bytes(1000))
    result = cluster.shell(f"glurun -T {option} {program} <in", cwd=place)
    assert result.status == 0, result
    return result.out, result.err.decode()


def test_every_call_is_on_the_bill(shared: Cluster, place: Path, compiled: Compiled) -> None:
    out, bill = job(shared, place, "--stats=json", compiled("calls", FILE))
    assert out == b"0123456789"
    told = json.loads(bill)
    lines = {line["name"]: line for line in told["dearest"]}
    assert {name: line["count"] for name, line in lines.items()} == {
        "read": READS,
        "lseek": SEEKS,
    }
    assert told["calls"] == READS + SEEKS
    assert (told["bytes_in"], told["bytes_out"]) == (READS, 10)
    waited = sum(line["seconds"] for line in lines.values())
    assert 0 < told["seconds_waited"] == round(waited, 6) < told["seconds"]
    assert abs(lines["read"]["mean"] - lines["read"]["seconds"] / READS) < 1e-9
    assert told["dearest"] == sorted(told["dearest"], key=lambda line: -line["seconds"])


def test_as_text(shared: Cluster, place: Path, compiled: Compiled) -> None:
    _, bill = job(shared, place, "--stats", compiled("calls", FILE))
    head, heads, *rows = bill.splitlines()
    assert head.startswith(f"calls that went home: {READS + SEEKS}, waited ")
    assert head.endswith(f"bytes in: {READS}, out: 10")
    assert heads.split() == ["CALL", "COUNT", "TOTAL", "MEAN"]
    assert [row.split()[:2] for row in rows] in (
        [["read", str(READS)], ["lseek", str(SEEKS)]],
        [["lseek", str(SEEKS)], ["read", str(READS)]],
    )


def test_nothing_went_home(shared: Cluster) -> None:
    result = shared.glurun("-T", "--stats", "echo", "hello")
    assert result.out == b"hello\n"
    assert result.complaint.startswith("calls that went home: 0, waited 0 µs of ")
    assert result.complaint.endswith("bytes in: 0, out: 6")


def test_a_job_that_a_signal_ends_has_a_bill_too(shared: Cluster) -> None:
    result = shared.glurun("-T", "--stats", "sh", "-c", "echo x; kill -9 $$")
    assert (result.status, result.out) == (137, b"x\n")
    assert "bytes in: 0, out: 2" in result.complaint


def test_terminal_ioctls_by_name(terminal: Callable[..., Terminal], compiled: Compiled) -> None:
    tty = terminal(TRANSPARENT)
    shown = tty.run(f"$G --stats {compiled('peeks', TTY)} 2>&1")
    assert shown[0].startswith(f"calls that went home: {PEEKS}, ")
    assert shown[2].split()[:3] == ["ioctl", "FIONREAD", str(PEEKS)]


def test_a_program_that_others_outlive_has_its_bill_at_its_end(shared: Cluster) -> None:
    result = shared.glurun("-T", "--stats", "sh", "-c", "sleep 1 >/dev/null 2>&1 & echo now")
    assert result.out == b"now\n"
    assert result.complaint.count("calls that went home: 0") == 1


def test_user_level_jobs_have_none(shared: Cluster) -> None:
    result = shared.glurun("--stats", "true")
    assert result.status == 125
    assert result.complaint == "glurun: --stats is for -T: other jobs make no calls home"
    wrong = shared.glurun("-T", "--stats=xml", "true")
    assert wrong.status == 125 and "xml" in wrong.complaint
