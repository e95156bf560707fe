"""Signal names and numbers, as kill(1) takes and prints them."""

import signal

_NAMES = {s.name.removeprefix("SIG"): int(s) for s in signal.Signals}
_ALIASES = {"IOT": "ABRT", "POLL": "IO", "CLD": "CHLD"}
LAST = 64


def number_of(text: str) -> int:
    """Number of a signal given as 9, KILL, SIGKILL, kill, RTMIN+1; ValueError names the text."""
    if text.isascii() and text.isdecimal():
        number = int(text)
        if number <= LAST:
            return number
        raise ValueError(f"no signal {text}")
    name = text.upper().removeprefix("SIG")
    name = _ALIASES.get(name, name)
    if name in _NAMES:
        return _NAMES[name]
    for base, sign in (("RTMIN", 1), ("RTMAX", -1)):
        offset = name.removeprefix(base)
        mark = "+" if sign > 0 else "-"
        if name.startswith(base + mark) and offset[1:].isdecimal():
            number = _NAMES[base] + sign * int(offset[1:])
            if _NAMES["RTMIN"] <= number <= _NAMES["RTMAX"]:
                return number
    raise ValueError(f"no signal {text}")


def name_of(number: int) -> str:
    """Name without SIG of a signal number (RTMIN+n for the nameless); ValueError if none."""
    for name, value in _NAMES.items():
        if value == number:
            return name
    if _NAMES["RTMIN"] < number < _NAMES["RTMAX"]:
        return f"RTMIN+{number - _NAMES['RTMIN']}"
    raise ValueError(f"no signal {number}")


def table() -> str:
    """All named signals, one `NUMBER NAME` a line, by number."""
    rows = sorted((number, name) for name, number in _NAMES.items())
    return "".join(f"{number:2} {name}\n" for number, name in rows)


def names() -> list[str]:
    """All names, by number, for completion."""
    return [name for _, name in sorted((number, name) for name, number in _NAMES.items())]
