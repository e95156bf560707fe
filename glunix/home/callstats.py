"""`glurun -T --stats`: the job's bill, on stderr at the end, as a table or as one line of JSON.

Owns what home sees pass: bytes of output and of input that went ahead. What calls cost is counted
on the node (glunix.node.calls.stats) and comes as one message before the job's end.
"""

from __future__ import annotations

import sys
import time

from glunix.home.link import integer, text, view
from glunix.home.wire import Value

Line = tuple[str, int, int, int]
"""One kind of call: its name, how often, microseconds in all, bytes that it brought."""

DEAREST = 5


class CallStats:
    """Made when the job is submitted."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._lines: list[Line] = []
        self._is_told = False
        self._out = 0
        self._ahead = 0
        """Bytes of a pipe that were read without a call: sent ahead (msg.stream, In)."""

    def saw(self, message: list[Value]) -> bool:
        """A message of the job's stream; True when it was meant for us alone."""
        tag = message[0]
        if tag == "out":
            self._out += len(view(message[3]))
        elif tag == "incredit":
            self._ahead += integer(message[1])
        elif tag == "bill":
            rows = message[1] if isinstance(message[1], list) else []
            self._lines = [
                (text(row[0]), integer(row[1]), integer(row[2]), integer(row[3]))
                for row in rows
                if isinstance(row, list)
            ]
        return tag == "bill"

    def tell(self, as_json: bool) -> None:
        """Write it to standard error, once."""
        if not self._is_told:
            self._is_told = True
            sys.stderr.write(self.told(as_json))
            sys.stderr.flush()

    def told(self, as_json: bool) -> str:
        """The bill, ending in a line end."""
        found = {
            "calls": sum(count for _, count, _, _ in self._lines),
            "bytes_in": self._ahead + sum(size for _, _, _, size in self._lines),
            "bytes_out": self._out,
            "seconds_waited": sum(micros for _, _, micros, _ in self._lines) / 1e6,
            "seconds": round(time.monotonic() - self._since, 6),
        }
        if as_json:
            import json

            names = ("name", "count", "seconds", "mean")
            dearest = [
                dict(zip(names, (name, count, micros / 1e6, micros / count / 1e6), strict=True))
                for name, count, micros, _ in self._lines[:DEAREST]
            ]
            return json.dumps({**found, "dearest": dearest}) + "\n"
        return self._table(found)

    def _table(self, found: dict[str, int | float]) -> str:
        head = (
            f"calls that went home: {found['calls']}, waited {_time(found['seconds_waited'])}"
            f" of {_time(found['seconds'])}; bytes in: {found['bytes_in']},"
            f" out: {found['bytes_out']}\n"
        )
        rows = [("CALL", "COUNT", "TOTAL", "MEAN")]
        for name, count, micros, _ in self._lines[:DEAREST]:
            rows.append((name, str(count), _time(micros / 1e6), _time(micros / count / 1e6)))
        if len(rows) == 1:
            return head
        width = max(len(row[0]) for row in rows)
        return head + "".join(
            f"{name:{width}}  {count:>8}  {total:>10}  {mean:>10}\n"
            for name, count, total, mean in rows
        )


def _time(seconds: float) -> str:
    """As people read it: 812 µs, 3.20 ms, 1.24 s."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds:.2f} s"
