"""Imports only go down: the rules of ARCHITECTURE.md, checked over the source text."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# package prefix -> the prefixes (of ours) it may import, itself always allowed.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "slic": ("slic",),
    "migration": ("migration", "slic.kernel"),
    "glunix.ids": (),
    "glunix.errors": ("glunix.ids",),
    "glunix.config": ("glunix.ids", "glunix.errors"),
    "glunix.debug": ("glunix.ids", "glunix.errors"),
    "glunix.rate": (),
    "glunix.addresses": ("glunix.errors", "glunix.ids"),
    "glunix.timer": (),
    "glunix.msg": ("glunix.ids", "glunix.errors"),
    "glunix.users": ("glunix.ids", "glunix.errors"),
    "glunix.settings": (
        "glunix.addresses",
        "glunix.config",
        "glunix.errors",
        "glunix.ids",
        "glunix.users",
    ),
    "glunix.trust": ("glunix.ids", "glunix.errors"),
    "glunix.state": (
        "migration.phases",
        "glunix.msg",
        "glunix.ids",
        "glunix.errors",
        "glunix.timer",
        "glunix.debug",
    ),
    "glunix.comm": (
        "glunix.addresses",
        "glunix.rate",
        "glunix.settings",
        "glunix.trust",
        "glunix.state",
        "glunix.msg",
        "glunix.ids",
        "glunix.errors",
        "glunix.timer",
        "glunix.debug",
        "glunix.config",
        "slic.kernel.libc",  # bindings: none of comm's own
        "slic.kernel.rights",
    ),
    "glunix.master": (
        "glunix.addresses",
        "glunix.settings",
        "glunix.trust",
        "glunix.users",
        "glunix.comm",
        "glunix.state",
        "glunix.msg",
        "glunix.ids",
        "glunix.errors",
        "glunix.timer",
        "glunix.debug",
        "glunix.config",
    ),
    "glunix.batch": (
        "glunix.api",
        "glunix.msg",
        "glunix.ids",
        "glunix.errors",
    ),
    "glunix.daemon": (
        "glunix.batch",
        "glunix.addresses",
        "glunix.rate",
        "glunix.settings",
        "glunix.trust",
        "glunix.users",
        "glunix.comm",
        "glunix.state",
        "glunix.msg",
        "glunix.ids",
        "glunix.errors",
        "glunix.timer",
        "glunix.debug",
        "glunix.config",
        "glunix.node",
        "migration.phases",
        "slic",
    ),
    "glunix.home": (
        "glunix.msg",
        "glunix.ids",
        "glunix.errors",
        "glunix.config",
        "slic.kernel.compiled",  # imports nothing but os
    ),
    "glunix.node": (
        "glunix.msg",
        "glunix.ids",
        "glunix.errors",
        "glunix.debug",
        "glunix.config",
        "migration",
        "slic",
    ),
    "glunix.api": ("glunix.comm", "glunix.msg", "glunix.ids", "glunix.errors", "glunix.config"),
    "glunix.compare": ("glunix.errors", "slic"),
    "glunix.cli": ("glunix", "slic"),
    "glunix.lib": ("glunix.errors",),
    "glunix.cluster": (
        "glunix.addresses",
        "glunix.api",
        "glunix.comm",
        "glunix.config",
        "glunix.daemon",
        "glunix.errors",
        "glunix.home",
        "glunix.ids",
        "glunix.lib",
        "glunix.master",
        "glunix.msg",
        "glunix.node",
        "glunix.settings",
        "glunix.state",
        "glunix.trust",
        "glunix.users",
        "slic",
    ),
}

PURE = (
    "slic.verdict",
    "slic.interposer",
    "slic.budget",
    "slic.objects",
    "slic.policy",
    "slic.interposers",
    "glunix.ids",
    "glunix.msg",
    "glunix.state",
    "glunix.addresses",
    "glunix.rate",
    "glunix.timer",
    "glunix.users",
    "migration.phases",
    "migration.native.model",
    "migration.native.ranges",
    "migration.native.tree",
)
IMPURE_MODULES = {"asyncio", "socket", "time", "ctypes", "subprocess", "threading", "selectors"}


def modules() -> list[tuple[str, Path]]:
    found = []
    for top in ("glunix", "slic", "migration"):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found.append((name.removesuffix(".__init__"), path))
    return found


def imports_of(name: str, path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            base = node.module or ""
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_imports_go_down(name: str, path: Path) -> None:
    rule = max((p for p in MAY_IMPORT if under(name, p)), key=len, default=None)
    ours = {i for i in imports_of(name, path) if i.split(".")[0] in ("glunix", "slic", "migration")}
    if rule is None:
        assert name == "glunix", f"{name} has no import rule: add it to MAY_IMPORT"
        return
    for imported in ours:
        allowed = under(imported, rule) or any(under(imported, p) for p in MAY_IMPORT[rule])
        assert allowed, f"{name} must not import {imported}"


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_pure_modules_do_no_io(name: str, path: Path) -> None:
    if not any(under(name, p) for p in PURE):
        return
    roots = {i.split(".")[0] for i in imports_of(name, path)}
    assert not roots & IMPURE_MODULES, f"{name} is pure but imports {roots & IMPURE_MODULES}"


def test_interposers_know_no_engine() -> None:
    for name, path in modules():
        if under(name, "slic.interposers"):
            bad = {
                i
                for i in imports_of(name, path)
                if under(i, "slic.engine") or under(i, "slic.engines")
            }
            assert not bad, f"{name} imports an engine: {bad}"


CIRCLES: set[tuple[str, ...]] = set()
"""Modules that import each other: none. The list may not get longer."""


def imported_modules(path: Path, known: set[str]) -> set[str]:
    """Of ours, wherever the import stands; not those for type checkers alone."""
    found: set[str] = set()

    def walk(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                for alias in child.names:
                    name = f"{child.module}.{alias.name}"
                    found.add(name if name in known else child.module or "")
            walk(child)

    walk(ast.parse(path.read_text()))
    return found & known


def circles(graph: dict[str, set[str]]) -> set[tuple[str, ...]]:
    """Groups of modules each of which leads to every other."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            if (name := todo.pop()) not in seen:
                seen.add(name)
                todo += graph[name]
        reach[start] = seen
    return {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in graph
        if name in reach[name]
    }


def test_no_modules_import_each_other() -> None:
    known = dict(modules())
    graph = {name: imported_modules(path, set(known)) - {name} for name, path in known.items()}
    assert circles(graph) == CIRCLES


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == {("b", "c")}


def test_what_interposers_share_knows_none_of_them() -> None:
    """`home` is GLUnix's policy, `support` is for all, the files beside are what `-i` offers."""
    for name, path in modules():
        above = ("slic.interposers.home",) if under(name, "slic.interposers") else ()
        if under(name, "slic.interposers.home"):
            above = ()
        if under(name, "slic.interposers.support"):
            offered = {n for n, _ in modules() if n.startswith("slic.interposers.")}
            above = tuple(n for n in offered if not under(n, "slic.interposers.support"))
        bad = {i for i in imports_of(name, path) if any(under(i, other) for other in above)}
        assert not bad, f"{name} imports {bad}"


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_only_bindings_use_ctypes(name: str, path: Path) -> None:
    binds = name.startswith("slic.kernel.")
    assert binds or "ctypes" not in imports_of(name, path), f"{name} is no module of bindings"
