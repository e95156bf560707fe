"""Names that programs of an embedded cluster's nodes can resolve."""

from contextlib import suppress
from pathlib import Path

from glunix import config
from slic.kernel import prctl


def resolve_own(folder: Path, name: str) -> None:
    """Have the node's programs resolve its host name (hosts(5)), as every machine does its own.

    A copy of this machine's file over it: what is added there later, the node sees when the cluster
    starts again.
    """
    hosts = Path("/etc/hosts")
    with suppress(OSError):  # a machine without the file: only names are lost
        text = hosts.read_text(encoding="utf-8", errors="surrogateescape")
        lines = [line.partition("#")[0].split() for line in text.splitlines()]
        if any(name in words[1:] for words in lines):
            return
        own = config.private(folder) / f"{name}.hosts"
        text = f"{text.rstrip()}\n127.0.1.1\t{name}\n"
        own.write_text(text, encoding="utf-8", errors="surrogateescape")
        own.chmod(0o644)
        prctl.mount(str(own), str(hosts), "", prctl.MS_BIND)
