"""Fast launchers: what they are, that they run wherever they lie, that they load no site."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glunix.cli import begin, launchers
from glunix.cluster.native_code import START

ROOT = Path(__file__).parents[2]
PROBE = "glunix.cli.main:main"


NOTED = """
import json, os, resource, signal, stat, sys
def main():
    print(json.dumps({
        "notes": sys._xoptions["glunix"].split(","),
        "words": sys.argv[1:],
        "environ": dict(os.environ),
        "directories": [fd for fd in range(3) if stat.S_ISDIR(os.fstat(fd).st_mode)],
        "fds": [int(name) for name in os.listdir("/proc/self/fd")][:-1],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
        "name": open("/proc/self/comm").read(),
    }))
"""


def run(tool: Path, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(tool), *words], capture_output=True, text=True, check=False, env=os.environ | env
    )


def python_at(folder: Path) -> str:
    """An interpreter with that path: a link, which is what a virtual environment has too."""
    folder.mkdir(parents=True)
    link = folder / "python"
    link.symlink_to(Path(sys.executable).resolve())
    return str(link)


@pytest.mark.parametrize("where", ["plain", "with space and 'quote'", "long/" + "d" * 200])
def test_a_launcher_runs_from_any_path(tmp_path: Path, where: str) -> None:
    python = python_at(tmp_path / where)
    assert launchers.write(tmp_path / where, python, {"glunix": PROBE}) == []
    tool = tmp_path / where / "glunix"
    told = run(tool, "version", "--json", PYTHONPATH="/nonesuch")
    assert (told.returncode, told.stderr) == (0, "")
    assert '"glunix"' in told.stdout
    assert len(tool.read_bytes().splitlines()[0]) <= launchers.SHEBANG_MAX
    assert run(tool, "bogus").returncode == 2


def test_plain_path_is_a_shebang_without_site(tmp_path: Path) -> None:
    text = launchers.text_of("/venv/bin/python", [Path("/a b")], "glunix.cli.main:main")
    assert text is not None
    assert text.splitlines()[0] == "#!/venv/bin/python -IS"
    assert len(text.splitlines()) == 22
    (tmp_path / "probe.py").write_text("import sys\ndef main(): print('site' in sys.modules)\n")
    python = python_at(tmp_path / "bin")
    text = launchers.text_of(python, [tmp_path, ROOT], "probe:main")
    assert text is not None
    tool = tmp_path / "probe"
    tool.write_text(text)
    tool.chmod(0o755)
    assert run(tool).stdout == "False\n"


@pytest.mark.parametrize("odd", ['/x"y/python', "/x$y/python", "/x`y/python", "/x\ny/python"])
def test_odd_characters_keep_the_plain_script(tmp_path: Path, odd: str) -> None:
    (tmp_path / "glunix").write_text("pip's")
    assert launchers.write(tmp_path, odd, {"glunix": PROBE}) == ["glunix"]
    assert (tmp_path / "glunix").read_text() == "pip's"


def test_targets_are_the_projects_scripts() -> None:
    found = launchers.targets()
    assert found["glunix"] == PROBE and {"glurun", "glups", "glukill", "glustat"} <= set(found)


def test_places_hold_the_libraries() -> None:
    for name in ("glunix", "msgpack", "msgspec"):
        assert any((folder / name).is_dir() for folder in launchers.places())


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launchers.main([str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


# -- what start.c notes ----------------------------------------------------------------------


@pytest.fixture
def started(tmp_path: Path) -> Path:
    """A tool, `glurun`, that prints what it finds, and which start.c starts."""
    made = START.build(str(tmp_path))
    if made is None:
        pytest.skip("no gcc, or not x86-64")
    (tmp_path / "probe.py").write_text(NOTED)
    text = launchers.text_of(sys.executable, [tmp_path, ROOT], "probe:main", made, "glurun")
    assert text is not None
    tool = tmp_path / "glurun"
    tool.write_text(text)
    tool.chmod(0o755)
    return tool


def noted(tool: Path, **how: object) -> dict[str, object]:
    ran = subprocess.run(  # type: ignore[call-overload]
        [str(tool), "a", "-b"], capture_output=True, check=False, **how
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    found = json.loads(ran.stdout)
    assert isinstance(found, dict)
    return found


def test_a_tool_started_by_it_finds_everything_as_it_was(started: Path) -> None:
    found = noted(started, env={"A": "1", "LC_ALL": "C"}, stdin=subprocess.DEVNULL)
    assert found["environ"] == {"A": "1", "LC_ALL": "C"}
    assert (found["words"], found["name"]) == (["a", "-b"], "glurun\n")
    assert (found["directories"], found["fds"], found["blocked"]) == ([], [0, 1, 2], [])


def test_a_directory_is_no_reason_not_to_start(started: Path, tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        found = noted(started, stdin=fd)
    finally:
        os.close(fd)
    assert (found["directories"], found["fds"]) == ([0], [0, 1, 2])


def test_what_python_ignores_anyway_is_known(started: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    notes = noted(started, preexec_fn=ignore)["notes"]
    assert isinstance(notes, list) and "x" in notes and "p" not in notes
    notes = noted(started, restore_signals=False)["notes"]  # Python's own are handed on
    assert isinstance(notes, list) and {"p", "x"} <= {*notes}


def test_a_tight_limit_is_raised_and_noted(started: Path) -> None:
    def few() -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, hard))

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found = noted(started, preexec_fn=few)
    assert isinstance(found["notes"], list) and f"l7:20:{hard}" in found["notes"]
    assert found["limit"] == [1024, hard]
    started.write_text(started.read_text().replace("+", "-", 1))  # as tools that are no glurun
    found = noted(started, preexec_fn=few)
    assert found["limit"] == [20, hard]


def test_an_interrupt_before_python_is_ready_ends_it_without_a_word(started: Path) -> None:
    early = started.with_name("early")
    early.write_text(f'#!/bin/sh\nkill -INT $$\nexec {sys.executable} "$@"\n')
    early.chmod(0o755)
    text = started.read_text()
    assert sys.executable in text
    started.write_text(text.replace(sys.executable, str(early), 1))
    ran = run(started)
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGINT, "", "")


def test_scripts_of_pip_become_launchers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if START.build(str(tmp_path)) is None:
        pytest.skip("no gcc, or not x86-64")
    python = python_at(tmp_path / "bin")
    monkeypatch.setattr(sys, "executable", python)
    pips = "import re\nimport sys\nfrom {} import main\nif __name__ == '__main__':\n    main()\n"
    texts = {
        "glurun": f"#!{python}\n" + pips.format("glunix.cli.glurun"),
        "glups": "#!/other/python\n" + pips.format("glunix.cli.glups"),
        "glustat": "somebody's own",
    }
    for name, text in texts.items():
        (tmp_path / "bin" / name).write_text(text)
    launchers.improve()
    now = {name: (tmp_path / "bin" / name).read_text() for name in texts}
    assert launchers.STARTER in now.pop("glurun")
    assert now == {name: texts[name] for name in now}
    assert run(tmp_path / "bin" / "glurun", "--version").stdout.startswith("glurun (GLUnix)")


# -- the file of compiled modules --------------------------------------------------------------

LOADERS = """
import sys
def main():
    import glunix.config, glunix.errors
    for module in (glunix, glunix.config, glunix.errors):
        print(module.__name__, type(module.__loader__).__name__, module.__file__)
"""


def loaders(folder: Path) -> list[list[str]]:
    """[module, what loaded it, its file] of a tool in `folder`, whose modules lie in a copy."""
    ran = run(folder / "glurun")
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return [line.split() for line in ran.stdout.splitlines()]


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tool and a copy of what it loads."""
    shutil.copytree(ROOT / "glunix" / "home", tmp_path / "glunix" / "home")
    for name in launchers.LAUNCH:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / "probe.py").write_text(LOADERS)
    monkeypatch.setattr(launchers, "places", lambda: [tmp_path])
    assert launchers.write(tmp_path, sys.executable, {"glurun": "probe:main"}) == []
    return tmp_path


def test_the_modules_of_a_launch_come_from_one_file(copied: Path) -> None:
    own = str(copied / "glunix")
    assert loaders(copied) == [
        ["glunix", "Modules", f"{own}/__init__.py"],
        ["glunix.config", "Modules", f"{own}/config.py"],
        ["glunix.errors", "Modules", f"{own}/errors.py"],
    ]


def test_a_changed_module_is_imported_as_ever(copied: Path) -> None:
    with (copied / "glunix" / "config.py").open("a") as file:
        file.write("\n")
    assert [row[1] for row in loaders(copied)] == ["Modules", "SourceFileLoader", "Modules"]


@pytest.mark.parametrize("how", ["none", "empty", "cut", "other python", "a folder"])
def test_no_file_of_modules_is_only_slower(copied: Path, how: str) -> None:
    made = copied / begin.NAME
    data = made.read_bytes()
    made.unlink()
    if how == "a folder":
        made.mkdir()
    elif how != "none":
        damaged = {"empty": b"", "cut": data[: len(data) // 2], "other python": b"?" + data[1:]}
        made.write_bytes(damaged[how])
    assert {row[1] for row in loaders(copied)} == {"SourceFileLoader"}
