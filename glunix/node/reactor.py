"""What the node's half needs of an event loop. asyncio's loop has this shape; tests have others."""

from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Take it back; harmless when it was made already."""


class Reactor(Protocol):
    """Readiness and time. Callbacks run in the reactor's thread, one at a time."""

    def add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> Any:
        """Call back whenever `fd` is readable or hung up."""

    def remove_reader(self, fd: int) -> Any:
        """Stop that; harmless when there was none."""

    def add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> Any:
        """Call back whenever `fd` is writable or broken."""

    def remove_writer(self, fd: int) -> Any:
        """Stop that; harmless when there was none."""

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call once after `delay` seconds."""
