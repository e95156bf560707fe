"""The completion script, run by a real bash; every option of every parser must be in it."""

import subprocess
import sys
from types import ModuleType

import pytest

from glunix.cli import completion, glups, glustat, main
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
