"""`glunix.toml`: the knobs of a cluster of several machines, each documented where it is declared.

Read with tomllib, checked by type and range; a key that nobody knows is refused by name. `render`
writes a file with every knob and its text, and docs/cluster.md's table is made by the same words.
"""

import re
import tomllib
import typing
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from glunix import config
from glunix.addresses import split_address
from glunix.errors import GlunixError
from glunix.ids import node_name
from glunix.users import REFUSE_GROUPS

MASTER_PORT = 7117
DAEMON_PORT = 7118
NAME = "glunix.toml"


class SettingsError(GlunixError):
    """The file cannot be read, or says something that makes no sense; names file and key."""


class _Section(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    pass


class ClusterSection(_Section, frozen=True):
    """What all machines of the cluster agree on."""

    name: Annotated[str, Meta(min_length=1, max_length=64, description="the cluster's name")]
    master: Annotated[
        str, Meta(min_length=1, max_length=255, description="where daemons reach the master")
    ]


class MasterSection(_Section, frozen=True):
    """The master; only on its machine."""

    listen: Annotated[
        str, Meta(max_length=255, description="ADDRESS:PORT that the master listens on")
    ] = f"0.0.0.0:{MASTER_PORT}"
    heartbeat: Annotated[
        float, Meta(gt=0, le=3600, description="seconds between load reports at the most")
    ] = config.HEARTBEAT
    lost_after: Annotated[
        float, Meta(gt=0, le=3600, description="seconds of silence that make a node lost")
    ] = 20.0
    certificate_days: Annotated[
        float, Meta(gt=0, le=3650, description="how long certificates live; renewed at two thirds")
    ] = 90.0


class DaemonSection(_Section, frozen=True):
    """The daemon of this machine."""

    node: Annotated[str, Meta(max_length=64, description="this node's name, as its certificate")]
    listen: Annotated[
        str, Meta(max_length=255, description="ADDRESS:PORT that other daemons dial")
    ] = f"0.0.0.0:{DAEMON_PORT}"
    advertise: Annotated[
        str,
        Meta(
            max_length=255,
            description="HOST:PORT told to others; empty: the address we reach the master from",
        ),
    ] = ""
    accepts_jobs: Annotated[bool, Meta(description="whether jobs are placed on this node")] = True
    lost_after: Annotated[
        float, Meta(gt=0, le=3600, description="seconds of silence that end a link")
    ] = 20.0
    setuid: Annotated[
        bool, Meta(description="whether `glurun -T` runs setuid programs with their rights")
    ] = False


class UsersSection(_Section, frozen=True):
    """Who may use the cluster; only on the master's machine."""

    allow_root: Annotated[bool, Meta(description="whether root may run jobs")] = False
    show_commands: Annotated[
        bool, Meta(description="whether users see the command lines of others' jobs")
    ] = False
    mapping: Annotated[
        str, Meta(max_length=4096, description="TOML file of uids by user and node; empty: none")
    ] = ""
    refuse_groups: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...],
        Meta(max_length=1024, description="groups that no job is in (names or numbers)"),
    ] = REFUSE_GROUPS


class LimitsSection(_Section, frozen=True):
    """What one user, or the daemon of one user, may have: nobody keeps the others out."""

    requests: Annotated[
        int, Meta(ge=1, le=10**6, description="requests a second (four times that at once)")
    ] = 2000
    jobs: Annotated[
        int, Meta(ge=1, le=10**6, description="jobs and requests under way at one home")
    ] = 4096
    processes: Annotated[
        int, Meta(ge=1, le=10**6, description="processes of jobs in the cluster (the master's)")
    ] = 16384
    connections: Annotated[int, Meta(ge=1, le=10**6, description="connections to one daemon")] = (
        2048
    )
    mebibytes: Annotated[
        int,
        Meta(ge=16, le=2**20, description="MiB that a daemon holds of messages or unread output"),
    ] = 512
    tasks: Annotated[
        int, Meta(ge=16, le=2**22, description="processes and threads of jobs on one node")
    ] = 2048
    supervisors: Annotated[
        int, Meta(ge=1, le=10**6, description="transparent jobs on one node: each has a supervisor")
    ] = 256
    staged: Annotated[
        int, Meta(ge=1, le=2**20, description="MiB of staged files (--stage) on one node")
    ] = 2048
    chore_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="seconds that staging, or removing it, may take")
    ] = 60.0


DEFAULT_LIMITS = LimitsSection()


class BatchSection(_Section, frozen=True):
    """The queue of batch jobs; only on the master's machine."""

    half_life: Annotated[
        float, Meta(ge=1, le=1e9, description="seconds after which half of a user's use is forgot")
    ] = 7 * 86400.0
    queued: Annotated[
        int, Meta(ge=1, le=10**7, description="runs that one user may have in the queue")
    ] = 200_000
    running: Annotated[
        int, Meta(ge=0, le=10**6, description="batch jobs of one user that run at a time; 0: any")
    ] = 0
    spare: Annotated[
        float,
        Meta(ge=0, le=1e6, description="load over a node's processors at which background jobs go"),
    ] = 0.5
    patience: Annotated[
        float, Meta(ge=0, le=1e9, description="seconds until nodes are kept for who waits longest")
    ] = 60.0


DEFAULT_BATCH = BatchSection()


class Settings(_Section, frozen=True):
    """The whole file."""

    cluster: ClusterSection
    daemon: DaemonSection
    master: MasterSection | None = None
    users: UsersSection = UsersSection()
    limits: LimitsSection = DEFAULT_LIMITS
    batch: BatchSection = DEFAULT_BATCH
    state: Annotated[
        str, Meta(max_length=4096, description="folder of sockets and the journal; empty: this one")
    ] = ""


SECTIONS: dict[str, type[_Section]] = {
    "cluster": ClusterSection,
    "daemon": DaemonSection,
    "master": MasterSection,
    "users": UsersSection,
    "limits": LimitsSection,
    "batch": BatchSection,
}


def path_of(folder: Path) -> Path:
    """The configuration file of a cluster folder."""
    return folder / NAME


def read(folder: Path) -> Settings:
    """Read and check glunix.toml; SettingsError names the file, the line and the key."""
    path = path_of(folder)
    found: Settings = _read(path, Settings)
    fault = _fault(found)
    if fault is not None:
        key, text = fault
        raise SettingsError(f"{path}{_line(path, key)}: {key}: {text}")
    return found


def state_said(folder: Path) -> str:
    """What `state` says, however wrong the rest of the file is; empty where it cannot be told."""
    try:
        text = path_of(folder).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in re.split(r"(?m)^\s*\[", text)[0].splitlines():  # before the first section
        try:
            found = tomllib.loads(line).get("state")
        except tomllib.TOMLDecodeError:
            continue
        if isinstance(found, str):
            return found
    return ""


def _read(path: Path, kind: Any) -> Any:
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), kind)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:  # which names the line
        raise SettingsError(f"{path}: {error}") from None
    except msgspec.ValidationError as error:
        words, key = _plain(str(error))
        raise SettingsError(f"{path}{_line(path, key)}: {words}") from None


def _fault(found: Settings) -> tuple[str, str] | None:
    """What types cannot say: (key, what is wrong with its value)."""
    texts = {"cluster.master": found.cluster.master, "daemon.listen": found.daemon.listen}
    if found.daemon.advertise:
        texts["daemon.advertise"] = found.daemon.advertise
    if found.master is not None:
        texts["master.listen"] = found.master.listen
    for key, text in texts.items():
        try:
            split_address(text, 1)
        except GlunixError as error:
            return key, str(error)
    try:
        node_name(found.daemon.node)
    except ValueError as error:
        return "daemon.node", str(error)
    return None


def _plain(text: str) -> tuple[str, str]:
    """msgspec's words for a fault as (`unknown key KEY in [section]`, the key with its section)."""
    words, _, where = text.partition(" - at `$")
    section = where.strip("`.")
    for start, what in (
        ("Object contains unknown field ", "unknown key"),
        ("Object missing required field ", "missing key"),
    ):
        if words.startswith(start):
            key = words.removeprefix(start).strip("`")
            whole = f"{section}.{key}" if section else key
            if what == "missing key":
                whole = section  # it has no line of its own
            return f"{what} {key!r}" + (f" in [{section}]" if section else ""), whole
    return f"{section or 'the top level'}: {words}", section


_HEAD = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\"'-]+)\s*=")


def _line(path: Path, wanted: str) -> str:
    """`, line N` of the file for `section.key` or a section; empty where it cannot be told."""
    section = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        head, key = _HEAD.match(line), _KEY.match(line)
        if head is not None:
            section = head[1]
            name = section
        elif key is not None:
            name = f"{section}.{key[1]}" if section else key[1]
        else:
            continue
        if name == wanted:
            return f", line {number}"
    return ""


def read_users(path: str) -> dict[str, dict[str, int]]:
    """Read a mapping file: a table for each user, `default = UID` and `NODE = UID`."""
    if not path:
        return {}
    uid = Annotated[int, Meta(ge=0, le=2**32 - 2)]
    found: dict[str, dict[str, int]] = _read(Path(path), dict[str, dict[str, uid]])
    return found


# -- writing -----------------------------------------------------------------------------------


def knobs(section: type[_Section]) -> list[tuple[str, str, Any]]:
    """(name, description, default) of each knob; the default is msgspec.NODEFAULT when needed."""
    hints = typing.get_type_hints(section, include_extras=True)
    found = []
    for field in msgspec.structs.fields(section):
        hint = hints[field.name]
        texts = [m.description for m in getattr(hint, "__metadata__", ()) if m.description]
        found.append((field.name, texts[0] if texts else "", field.default))
    return found


def render(settings: Settings) -> str:
    """The text of a configuration file: every knob, its value, and what it is."""
    lines = [
        "# GLUnix. Restart master and daemon after a change (`glunix config` checks it).",
        "",
    ]
    state = next(text for name, text, _ in knobs(Settings) if name == "state")
    lines += [f"state = {_toml(settings.state)}  # {state}", ""]
    for name, kind in SECTIONS.items():
        section = getattr(settings, name)
        if section is None or (name in ("users", "batch") and settings.master is None):
            continue
        lines += [f"# {(kind.__doc__ or '').strip()}", f"[{name}]"]
        for key, text, _ in knobs(kind):
            lines.append(f"{key} = {_toml(getattr(section, key))}  # {text}")
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_escaped(c) for c in value) + '"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value)


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\U{ord(char):08x}"
