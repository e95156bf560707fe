"""What the tools say: mistakes, clusters that are something else, help, tables that fit."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from glunix import settings
from glunix.cli import common, glukill, glups, glurun, glustat, main
from glunix.cli.glurun import UsageError, options_of, split_words
from slic import cli as slic_cli

Tool = Callable[[list[str]], int]


@pytest.mark.parametrize("words", [["invite"], ["members"], ["config"], ["revoke", "n"], ["leave"]])
def test_an_embedded_cluster_says_what_it_is(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(words) == 1
    nothing = capsys.readouterr().err
    assert f"no glunix.toml in {folder}: `glunix init` makes" in nothing
    (folder / "private").mkdir(mode=0o700)
    (folder / "private" / "cluster.json").write_text("[]")
    assert main.main(words) == 1
    embedded = capsys.readouterr().err
    assert f"the cluster in {folder} is on this machine only" in embedded
    assert embedded.count("\n") == 1


def test_down_with_a_broken_glunix_toml(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["up", "-n", "1"]) == 0
    (folder / "glunix.toml").write_text("[cluster\nname = 3\n")
    capsys.readouterr()
    assert main.main(["down"]) == 0
    told = capsys.readouterr()
    assert told.out == "cluster is down (3 processes ended)\n"
    assert "glunix: note:" in told.err and "glunix.toml" in told.err


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ('state = "/run/x"\n[cluster]\nname = \n', "/run/x"),
        ('cluster = = 3\nstate = "/run/x"  # where\n', "/run/x"),
        ('[daemon]\nstate = "/run/x"\n', ""),
        ("state = 7\n", ""),
        ("", ""),
    ],
)
def test_state_of_a_broken_file(tmp_path: Path, text: str, state: str) -> None:
    assert settings.state_said(tmp_path) == ""
    (tmp_path / "glunix.toml").write_text(text)
    assert settings.state_said(tmp_path) == state


@pytest.mark.parametrize(
    ("tool", "words", "guess"),
    [
        (main.main, ["dwon"], "did you mean down?"),
        (main.main, ["up", "--setiud"], "did you mean --setuid?"),
        (glups.main, ["--procesess"], "did you mean --processes?"),
        (glustat.main, ["--wacth"], "did you mean --watch?"),
    ],
)
def test_did_you_mean(
    tool: Tool, words: list[str], guess: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        tool(words)
    error = capsys.readouterr().err
    assert guess in error and error.count("\n") == 1


def test_unique_beginnings_of_options() -> None:
    assert glups.parser().parse_args(["--proc"]).processes
    assert main.parser().parse_args(["up", "--set"]).setuid
    assert split_words(["--trans", "--deg=3", "--hom", "/x", "true"]) == (
        [("transparent", ""), ("degree", "3"), ("home", "/x")],
        ["true"],
    )
    assert split_words(["--stage", "true"])[0] == [("stage", "")]  # exact, though --sta is not
    for words, text in (
        (["--sta"], "option --sta could be --stage, --stats"),
        (["--transparant"], "unknown option --transparant; did you mean --transparent?"),
        (["--qqq"], "unknown option --qqq"),
        (["--=x"], "unknown option --"),
    ):
        with pytest.raises(UsageError) as error:
            split_words(words)
        assert str(error.value) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1m", 60), ("90s", 90), ("1.5h", 5400), ("2d", 172800), ("1:30", 90), ("7", 7)],
)
def test_times(text: str, seconds: float) -> None:
    assert options_of([("time", text)], ["true"]).time_limit == seconds


@pytest.mark.parametrize(
    "text", ["m", "0m", "-1m", "1m:2", "1:2m", "infd", "nans", "1w", "1mm", ""]
)
def test_no_times(text: str) -> None:
    with pytest.raises(UsageError, match="not a time"):
        options_of([("time", text)], ["true"])


def test_a_home_path_that_is_not_there(capfd: pytest.CaptureFixture[str]) -> None:
    options_of([("home", "/etc"), ("transparent", "")], ["true"])
    assert capfd.readouterr().err == ""
    found = options_of([("home", "/nonexist"), ("transparent", "")], ["true"])
    assert found.home == [b"/nonexist"]
    assert capfd.readouterr().err.startswith("glurun: note: --home=/nonexist: not here")


@pytest.mark.parametrize(
    "tool", [glurun.main, glukill.main, glups.main, glustat.main, main.main, slic_cli.main]
)
def test_help_ends_with_two_examples(tool: Tool, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        tool(["--help"])
    shown = capsys.readouterr().out
    *_, head, one, two = shown.rstrip("\n").split("\n")
    assert head == "examples:" and one.startswith("  ") and two.startswith("  ")
    assert max(map(len, shown.splitlines())) <= 100


HEADS = ("NPID", "USER", "NODES", "COMMAND")
ROWS = [["1", "somebody", "node1,node2*3", "x" * 70], ["22", "root", "-", "sh -c 'a b'"]]

SHOW = f"""
from glunix.cli.common import show_table
show_table({HEADS!r}, {ROWS!r}, frozenset([0]))
"""


def shown(columns: int, term: str) -> str:
    master_fd, slave_fd = os.openpty()
    env = {**os.environ, "TERM": term, "COLUMNS": str(columns)}
    try:
        with subprocess.Popen([sys.executable, "-c", SHOW], stdout=slave_fd, env=env) as tool:
            assert tool.wait(20) == 0
        return os.read(master_fd, 65536).decode().replace("\r", "")
    finally:
        os.close(slave_fd)
        os.close(master_fd)


@pytest.mark.parametrize("term", ["xterm", "dumb"])
@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_tables_fit_the_terminal(columns: int, term: str) -> None:
    text = shown(columns, term).replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert max(map(len, text.splitlines())) <= columns
    assert "22" in text and "NPID" in text
    if columns <= 40:  # nothing is cut: a row is lines of head and value
        assert text.replace("\n", "").replace(" ", "").count("x") == 70


def test_a_pipe_gets_all_of_it() -> None:
    told = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
    assert (
        told.stdout == common.plain_table(HEADS, ROWS, frozenset([0])) and "x" * 70 in told.stdout
    )
