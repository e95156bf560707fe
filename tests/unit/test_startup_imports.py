"""What glurun imports before it can do anything: start-up time is the interpreter's and this."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FORBIDDEN = {
    "argparse", "asyncio", "collections", "dataclasses", "enum", "functools", "json", "logging",
    "msgpack", "msgspec", "os", "pathlib", "re", "signal", "socket", "struct", "subprocess",
    "typing",
}  # fmt: skip
"""Each costs between 1 and 40 ms."""

MOST = 32
"""Modules on top of those that `python -IS -c pass` loads itself; each costs 0.1 to 0.3 ms."""

LOADED = "import sys; sys.stderr.write(' '.join(sys.modules))"


def modules(code: str) -> set[str]:
    """Names in sys.modules of a `python -IS` that has run `code` with the checkout on its path."""
    path = f"import sys; sys.path.append({str(ROOT)!r}); "
    ran = subprocess.run(
        [sys.executable, "-IS", "-c", f"{path}{code}{LOADED}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(ran.stderr.split())


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    return modules(
        "from glunix.cli.glurun import main; main(['--version']); "
        "import glunix.home.submit, glunix.home.startup; "
    )


def test_nothing_dear_is_loaded(loaded: set[str]) -> None:
    assert "glunix.home.startup" in loaded
    assert not loaded & FORBIDDEN


def test_few_modules_are_loaded(loaded: set[str]) -> None:
    more = loaded - modules("")
    assert len(more) <= MOST, f"{len(more)} modules: {' '.join(sorted(more))}"


def test_no_room_lies_on_the_launch_path(loaded: set[str]) -> None:
    """A sub-package of home is one more module to load: the launch path is flat."""
    assert not {name for name in loaded if name.startswith("glunix.home.") and name.count(".") > 2}


def test_the_job_is_submitted_before_the_rest_is_loaded() -> None:
    first = modules("import glunix.cli.glurun, glunix.home.submit; ")
    rest = {f"glunix.home.{name}" for name in ("startup", "stdin", "outputs", "jobview", "signals")}
    assert "glunix.home.link" in first
    assert not first & (rest | {"select", "termios"})


def test_the_count_sees_an_import() -> None:
    assert modules("import json; ") & FORBIDDEN >= {"json", "re", "enum"}
