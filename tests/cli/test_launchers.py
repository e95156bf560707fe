"""Fast launchers: what they are, that they run wherever they lie, that they load no site."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from glunix.cli import launchers

PROBE = "glunix.cli.main:main"


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
    assert len(text.splitlines()) == 8
    (tmp_path / "probe.py").write_text("import sys\ndef main(): print('site' in sys.modules)\n")
    python = python_at(tmp_path / "bin")
    text = launchers.text_of(python, [tmp_path], "probe:main")
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
