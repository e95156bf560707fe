"""The completion script, run by a real bash; every option of every parser must be in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pexpect
import pytest

from glunix.cli import completion, completion_others, glups, glustat, main
from glunix.errors import GlunixError


@pytest.fixture(autouse=True)
def glurun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its options are its own business; here it has these."""
    module = ModuleType("glunix.cli.glurun")

    def split_words(words: list[str]) -> None:
        if words[0] in ("-n", "-w"):
            raise GlunixError("needs a value")

    module.OPTIONS = ("-n", "-w", "-T", "--keep")  # type: ignore[attr-defined]
    module.split_words = split_words  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "glunix.cli.glurun", module)


def complete(*words: str) -> set[str]:
    """What Tab offers after these words, the last of which is being typed."""
    tool = words[0]
    script = completion.bash() + (
        f'\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _glunix_{tool}'
        '; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    told = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *words], capture_output=True, text=True, check=True
    )
    assert not told.stderr
    return set(told.stdout.split())


def test_every_option_of_every_parser() -> None:
    assert complete("glups", "-") == set(completion.words_of(glups.parser()).options)
    assert complete("glustat", "-") == set(completion.words_of(glustat.parser()).options)
    for name, sub in completion.sub_parsers(main.parser()).items():
        assert set(completion.words_of(sub).options) <= complete("glunix", name, "-")


def test_sub_commands() -> None:
    assert {"up", "down", "doctor", "demo"} <= complete("glunix", "")
    assert complete("glunix", "do") == {"down", "doctor"}
    assert complete("glunix", "completion", "b") == {"bash"}
    assert complete("glunix", "completion", "f") == {"fish"}


def test_signals() -> None:
    assert complete("glukill", "-s", "US") == {"USR1", "USR2"}
    assert complete("glukill", "-KI") == {"-KILL"}


def test_glurun_options_then_a_command() -> None:
    assert complete("glurun", "-") == {"-n", "-w", "-T", "--keep"}
    assert "bash" in complete("glurun", "-n", "4", "bas")
    assert "bash" in complete("glurun", "--", "bas")
    assert complete("glurun", "-n", "4", "ls", "/etc/hostna") == {"/etc/hostname"}


def test_the_script_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", "bash"]) == 0
    assert capsys.readouterr().out == completion.bash()


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """glustat and glups that show two nodes and a job."""
    rows = {
        "glustat": "NODE  STATE\nnode1 up\nnode2 up",
        "glups": "NPID USER COMMAND\n 17 root make",
    }
    for tool, text in rows.items():
        script = tmp_path / tool
        script.write_text(f"#!/bin/sh\nprintf '%s\\n' '{text}'\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("tables")
def test_nodes_and_jobs_of_the_cluster() -> None:
    assert complete("glurun", "-w", "n") == {"node1", "node2"}
    assert complete("glurun", "-w", "node1,n") == {"node1,node1", "node1,node2"}
    assert complete("glukill", "") == {"17"}
    assert complete("glups", "1") == {"17"}


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("glurun -w no", {"node1", "node2"}),
        ("glurun -w node1,no", {"node1,node1", "node1,node2"}),
        ("glurun --kee", {"--keep"}),
        ("glukill ", {"17"}),
        ("glukill -KI", {"-KILL"}),
        ("glups --proc", {"--processes"}),
        ("glunix completi", {"completion"}),
        ("glunix completion z", {"zsh"}),
    ],
)
def test_fish(tmp_path: Path, line: str, expected: set[str]) -> None:
    if not shutil.which("fish"):
        pytest.skip("no fish")
    script = tmp_path / "words.fish"
    script.write_text(completion_others.fish())
    code = f"source {script}; complete -C '{line}'"
    told = subprocess.run(
        ["fish", "--no-config", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert {row.partition("\t")[0] for row in told.stdout.splitlines()} == expected, told


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("glurun -w node1,nod", "glurun -w node1,node"),
        ("glurun --kee", "glurun --keep "),
        ("glukill ", "glukill 17 "),
        ("glukill -KIL", "glukill -KILL "),
        ("glunix completion f", "glunix completion fish "),
    ],
)
def test_zsh(tmp_path: Path, line: str, expected: str) -> None:
    """At a terminal: zsh completes nowhere else."""
    if not shutil.which("zsh"):
        pytest.skip("no zsh")
    script = tmp_path / "words.zsh"
    script.write_text(completion_others.zsh())
    around = {**os.environ, "TERM": "dumb"}
    shell = pexpect.spawn(
        "zsh", ["-f", "-i"], env=around, encoding="utf-8", timeout=30, dimensions=(40, 120)
    )
    shell.sendline(f"PS1='@''@ '; autoload -Uz compinit; compinit -u -D; source {script}")
    shell.expect("@@ ")
    shell.send(f"{line}\t")
    shell.expect_exact(expected)
    shell.close(force=True)
