"""tests/unit mirrors the tree: a module with logic of its own has a test of its name.

`glunix/home/input/prefetch.py` is tested by `tests/unit/home/input/test_prefetch.py`; modules of
slic and migration below `slic/` and `migration/`. What had none when this began stands in
without_a_test.txt, which may only get shorter.
"""

import ast
from pathlib import Path

UNIT = Path(__file__).resolve().parent
ROOT = UNIT.parents[1]
LIST = UNIT / "without_a_test.txt"


def has_logic(path: Path) -> bool:
    """Whether it defines a function that does something."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = [one for one in node.body if not isinstance(one, ast.Expr | ast.Pass)]
            if body:
                return True
    return False


def place_of(module: Path) -> Path:
    parts = module.relative_to(ROOT).parts
    parts = parts[1:] if parts[0] == "glunix" else parts
    return UNIT.joinpath(*parts[:-1], f"test_{parts[-1]}")


def without() -> set[str]:
    found = set()
    for top in ("glunix", "slic", "migration"):
        for path in (ROOT / top).rglob("*.py"):
            ours = not path.name.startswith("__") and "guests" not in path.parts
            if ours and has_logic(path) and not place_of(path).exists():
                found.add(str(path.relative_to(ROOT)))
    return found


def test_a_new_module_has_a_test_of_its_name() -> None:
    new = without() - set(LIST.read_text().split())
    assert not new, f"write tests of their names: {sorted(new)}"


def test_the_list_gets_shorter() -> None:
    done = set(LIST.read_text().split()) - without()
    assert not done, f"have tests, or are gone; take them from {LIST.name}: {sorted(done)}"
