"""The last events of every job and node, so that a failure tells its story (the paper's Debug).

Owns a bounded memory of text lines; decides nothing and prints nothing.
"""

from collections import OrderedDict, deque


class Story:
    """The last `lines` events of each of the last `keys` things that something happened to."""

    def __init__(self, lines: int = 24, keys: int = 4096) -> None:
        self._lines = lines
        self._keys = keys
        self._told: OrderedDict[str, deque[tuple[float, str]]] = OrderedDict()

    def note(self, key: str, now: float, text: str) -> None:
        """Remember that `text` happened to `key` (say "job 7", "node node2") at `now` seconds."""
        told = self._told.get(key)
        if told is None:
            told = self._told[key] = deque(maxlen=self._lines)
            if len(self._told) > self._keys:
                self._told.popitem(last=False)
        else:
            self._told.move_to_end(key)
        told.append((now, text))

    def story(self, *keys: str) -> str:
        """What happened to `keys`: one line per event, oldest first, under the key's name."""
        parts = []
        for key in keys:
            parts.append(f"{key}:")
            parts += [f"  {now:.3f} {text}" for now, text in self._told.get(key, ())]
            if key not in self._told:
                parts.append("  nothing known")
        return "\n".join(parts)

    def forget(self, key: str) -> None:
        """Nothing more will be asked about `key`."""
        self._told.pop(key, None)


class Bug(RuntimeError):
    """Our own state is wrong: never a peer's fault. Carries the story, ends in a traceback."""

    def __init__(self, text: str, story: str = "") -> None:
        super().__init__(f"{text}\n{story}" if story else text)


class IllegalTransition(Bug):
    """A state was asked to move where its table has no entry."""


class InvariantBroken(Bug):
    """A `check()` found state that must not exist."""
