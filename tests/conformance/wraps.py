"""Which ways to run (glunix.compare.ways) the tests try: CONFORMANCE_WAYS names some of them.

Without it: all, of `-T` the engine that glurun takes by itself. The other engines have short forms
of their own (test_engines.py).
"""

from __future__ import annotations

import os

from glunix.compare.ways import REGISTRY, TRANSPARENT

OTHER_ENGINES = tuple(name for name in REGISTRY if name.startswith(f"{TRANSPARENT}-"))


def chosen() -> tuple[str, ...]:
    """The ways besides native that the tests try."""
    wanted = [name for name in os.environ.get("CONFORMANCE_WAYS", "").split(",") if name]
    unknown = [name for name in wanted if name not in REGISTRY]
    if unknown:
        raise ValueError(f"CONFORMANCE_WAYS: there is no way {', '.join(unknown)}")
    usual = [name for name in REGISTRY if name not in OTHER_ENGINES]
    return tuple(name for name in wanted or usual if name != "native")


def present() -> tuple[str, ...]:
    """Those of the chosen ways that can be had here."""
    return tuple(name for name in chosen() if REGISTRY[name].missing() is None)
