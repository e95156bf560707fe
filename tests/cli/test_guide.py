"""docs/guide.md names files, classes and functions: each is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "guide.md").read_text()
PLACES = sorted(set(re.findall(r"`((?:glunix|slic|tests)/[\w/]+\.(?:py|c))(?::([\w.]+))?`", TEXT)))


def defined(path: Path) -> set[str]:
    """Names of classes, their methods, functions and constants of a module."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
            found.update(
                f"{node.name}.{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef)
            )
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return found


@pytest.mark.parametrize(("file", "name"), PLACES, ids=lambda v: v)
def test_is_there(file: str, name: str) -> None:
    path = ROOT / file
    assert path.is_file()
    assert not name or name in defined(path)


def test_places_are_found() -> None:
    assert len(PLACES) > 40
