"""strace as the oracle of `trace`: what both write about one program, made comparable."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

UNFINISHED = " <unfinished ...>"
RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")


def processes(text: str) -> list[list[str]]:
    """Each process's lines, the processes in the order in which they appear: calls in one piece,
    numbers of processes and addresses as words, flags in alphabetical order."""
    lines: dict[str, list[str]] = {}
    begun: dict[str, str] = {}
    for line in text.splitlines():
        pid, _, said = line.partition(" ")
        said = said.lstrip(" ") if not pid.endswith("[pid") else said
        own = lines.setdefault(pid, [])
        if said.endswith(UNFINISHED):
            begun[pid] = said.removesuffix(UNFINISHED)
        elif found := RESUMED.match(said):
            own.append(begun.pop(pid) + found[2])
        else:
            own.append(said)
    for own in lines.values():
        if len(own) > 1 and own[-2].startswith("exit("):
            own[-1] = "+++"  # a thread's: the process's own status if that ends meanwhile
    numbers = {pid: f"PID{n}" for n, pid in enumerate(lines)}
    return [[comparable(said, numbers) for said in own] for own in lines.values()]


def comparable(said: str, numbers: dict[str, str]) -> str:
    """One line without what differs from run to run."""
    said = re.sub(r"\) += ", ") = ", said)
    said = re.sub(r"\b\d+\b", lambda found: numbers.get(found[0], found[0]), said)
    said = re.sub(r"\b0x[0-9a-f]{6,}", "ADDRESS", said)
    said = re.sub(r'getrandom\("[^"]*"', 'getrandom("..."', said)
    said = re.sub(r"htons\(\d{5}\)", "htons(PORT)", said)
    said = re.sub(
        r"rt_sigreturn\(.*?\)(?= = )", "rt_sigreturn()", said
    )  # trace does not know the mask
    said = re.sub(r"(getppid\(\) = |uptime=)\d+", r"\1...", said)
    said = re.sub(r"left \{[^}]*\}", "left {...}", said)
    said = said.replace("BTRFS_IOC_CLONE or FICLONE", "FICLONE")  # strace knows both names
    said = re.sub(r"(statfs.*f_blocks=).*(?=f_fsid)", r"\1..., ", said)
    said = re.sub(r"si_[us]time=\d+( /\*.*?\*/)?", "si_time", said)
    if said.startswith("--- "):
        said = re.sub(r" \{.*\}", "", said)  # nor what comes with a signal
    return re.sub(r"\b[A-Z_0-9]+(?:\|[A-Z_0-9]+)+\b", _sorted, said)


def _sorted(found: "re.Match[str]") -> str:
    return "|".join(sorted(found[0].split("|")))


def by_strace(argv: Sequence[str], folder: Path, options: Sequence[str] = ()) -> str:
    out = folder / "strace.out"
    _run(["strace", "-f", *options, "-o", str(out), *argv], folder / "work")
    return out.read_text(errors="surrogateescape")


def by_slic(
    argv: Sequence[str], folder: Path, engine: str = "ptrace-seccomp", policy: str = "trace"
) -> str:
    out = folder / f"{engine}.out"
    own = [sys.executable, "-m", "slic.cli", "run", "-e", engine, "-i", policy, "-o", str(out)]
    _run([*own, "--", *argv], folder / "work")
    return out.read_text(errors="surrogateescape")


def _run(command: list[str], place: Path) -> None:
    """In an empty directory of its own, so that both find the same."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "LC_ALL": "C.UTF-8"}
    with (place.parent / "input").open("w+") as stdin:
        stdin.write("what is on standard input\n")
        stdin.seek(0)
        subprocess.run(
            command, cwd=place, env=environment, stdin=stdin, capture_output=True, timeout=120
        )
