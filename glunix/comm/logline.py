"""Lines of a service's log: with the time of day, or for the journal, which has its own."""

import os
import time


def to_journal() -> bool:
    """Whether standard output is the journal: systemd.exec(5), JOURNAL_STREAM."""
    told = os.environ.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(1)
    except OSError:
        return False
    return told == f"{found.st_dev}:{found.st_ino}"


def say(text: str) -> None:
    """One entry (it may have several lines), at once."""
    print(text if to_journal() else f"{time.strftime('%H:%M:%S')} {text}", flush=True)
