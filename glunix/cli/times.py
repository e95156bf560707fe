"""Spans of time as users write them: 90, 30s, 10m, 2h, 1d, MM:SS, HH:MM:SS."""

from glunix.errors import GlunixError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MOST = 1e9


def parse_time(text: str) -> float:
    """Seconds; GlunixError when the text is no time."""
    unit = _UNITS.get(text[-1:], 0.0) if ":" not in text else 0.0
    parts = [text[:-1]] if unit else text.split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3 or min(numbers) < 0 or not 0 < sum(numbers) < float("inf"):
        raise GlunixError(f"not a time: {text}")
    total = 0.0
    for number in numbers:
        total = total * 60 + number
    return min(total * (unit or 1.0), _MOST)
