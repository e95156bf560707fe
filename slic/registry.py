"""Which engines there are, and which of them a policy gets. The contract is slic.engine."""

from collections.abc import Mapping

from slic.engine import Engine, EngineUnavailable, MissingCapability, check
from slic.policy import Policy

_registry: dict[str, Engine] = {}
ANSWERING = ("unotify", "ptrace-seccomp", "ptrace")
"""Engines that hold calls and answer them, from the cheapest to the most able."""
# `select` without a name takes the first that fits. One that holds nothing comes last: what it
# tells comes later, and it takes longer to begin (it loads programs) than a small program to run.
PREFERENCE = (*ANSWERING, "ebpf")


def register(engine: Engine) -> Engine:
    """Make an engine known by its name."""
    _registry[engine.name] = engine
    return engine


def engines() -> Mapping[str, Engine]:
    """Every engine, the shipped ones imported on first use, in order of preference."""
    from slic.engines.builtin import ENGINES

    for engine in ENGINES:
        _registry.setdefault(engine.name, engine)
    order = [n for n in PREFERENCE if n in _registry] + sorted(_registry.keys() - set(PREFERENCE))
    return {name: _registry[name] for name in order}


def _shows_all(policy: Policy, engine: Engine) -> bool:
    """Would no handler be left out that its interposer has for the user to see?"""
    return all(
        handler.needs in engine.capabilities
        for interposer, handler in policy.handlers()
        if not interposer.undemanding
    )


def select(policy: Policy, name: str | None = None, showing: bool = False) -> Engine:
    """The engine `name`, or the cheapest that works here and can all the policy needs.

    With `showing` the cheapest that also has what optional handlers would show, if there is one.
    EngineUnavailable or MissingCapability tells why not; a named engine is never replaced.
    """
    known = engines()
    if name is not None:
        if name not in known:
            raise EngineUnavailable(f"there is no engine {name!r}; there are {', '.join(known)}")
        engine = known[name]
        if why := engine.unavailable():
            raise EngineUnavailable(f"engine {name} does not work here: {why}")
        check(policy, engine, known.values())
        return engine
    reasons, fitting = [], []
    for engine in known.values():
        if why := engine.unavailable():
            reasons.append(f"{engine.name}: {why}")
            continue
        try:
            check(policy, engine, known.values())
        except MissingCapability as error:
            reasons.append(str(error))
            continue
        if not showing or _shows_all(policy, engine):
            return engine
        fitting.append(engine)
    if fitting:
        return fitting[0]
    raise MissingCapability("no engine fits: " + "; ".join(reasons))
