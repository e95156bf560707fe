"""The documents name only files, tools and options that exist."""

import re
import subprocess
from pathlib import Path

import pytest

from glunix.cli import demo, glukill, launchers, main
from glunix.cli.completion import sub_parsers

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_link_and_path_leads_somewhere(path: Path) -> None:
    text = path.read_text()
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    missing = [link for link in links if not (path.parent / link).exists()]
    tops = r"`((?:glunix|slic|migration|tests|docs)/[\w./-]*)`"
    missing += [name for name in re.findall(tops, text) if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_make_target_is_there(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?\bmake (\w[\w-]*)", "\n".join(_code(path.read_text()))):
        assert re.search(rf"^{target}:", makefile, re.M), target


def _code(text: str) -> list[str]:
    return re.findall(r"`[^`\n]+`", text) + re.findall(r"```.*?```", text, re.S)


def test_every_sub_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in sub_parsers(main.parser()):
        assert re.search(rf"`(glunix )?{name}\b|make {name}|glunix {name}", readme), name
    for tool in launchers.targets():
        assert tool in readme


def test_the_readmes_tour_is_the_demos() -> None:
    """The tour is output of `make demo`; a command that it does not run cannot be checked."""
    tour = (ROOT / "README.md").read_text().partition("## A tour")[2].partition("\n## ")[0]
    shown = [re.sub(r"\s+# .*", "", line[2:]) for line in tour.splitlines() if line[:2] == "$ "]
    run = {step.command.replace(" 2>&1", "") for step in demo.steps("vm", True)}
    assert shown and set(shown) <= run


def test_glukill_help_names_every_option() -> None:
    for option in glukill.OPTIONS:
        assert option in glukill.USAGE or option == "--help"


def test_make_help_names_every_target() -> None:
    told = subprocess.run(
        ["make", "-s", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True
    )
    phony = re.search(r"^\.PHONY: (help .*)$", (ROOT / "Makefile").read_text(), re.M)
    assert phony is not None
    for target in phony[1].split():
        assert target == "help" or f"make {target}" in told.stdout


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_test_and_guest_is_there(path: Path) -> None:
    text = path.read_text()
    for file, name in re.findall(r"`(test_\w+)::(test_\w+)`", text):
        found = [one.read_text() for one in ROOT.glob(f"tests/**/{file}.py")]
        assert any(f"def {name}(" in one for one in found), f"{file}::{name}"
    proofs = text.partition("## What proves it")[2]
    guests = {one.stem for one in (ROOT / "glunix/compare/guests").iterdir()}
    for name in re.findall(r"`([a-z]+_[a-z_]+)`", proofs):
        assert name in guests, name
