"""A cluster of real processes for tests: start, ask, run jobs, look into /proc.

Owns the launchers and state folders it makes. Everything that waits has a deadline, and waits for
a condition, never for time to pass.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 20.0
NOBODY = 65534
GROUP_TTY = 5
TESTED_USER = int(os.environ.get("GLUNIX_TEST_USER", os.geteuid()))
"""Root's tests: the ordinary user who uses root's cluster in them (a number)."""

_MARK = f"TESTED_BY={os.getpid()}"
"""In the environment of what tests start."""


@dataclass(frozen=True)
class Result:
    """How a command ended. status is the shell's: 128+N when signal N ended it."""

    status: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """Standard output without its last line end."""
        return self.out.decode().rstrip("\n")

    @property
    def complaint(self) -> str:
        """Standard error without its last line end."""
        return self.err.decode().rstrip("\n")


def until(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
    """Look again and again until it holds; AssertionError names `what` did not come."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"not within {deadline:.0f} s: {what}"
        time.sleep(0.01)


def as_tested_user(argv: Sequence[str]) -> tuple[list[str], Callable[[], None] | None]:
    """The words that run a command as the tested user, and what is to be done before, in its
    process: the terminal on fd 0 becomes the user's, as login(1) does it."""
    if os.geteuid() == TESTED_USER:
        return list(argv), None
    return [*as_user(TESTED_USER), *argv], functools.partial(os.fchown, 0, TESTED_USER, GROUP_TTY)


def users_own(folder: Path) -> Path:
    """The folder, which is the tested user's from now on with all that is in it."""
    folder.chmod(0o755)
    if os.geteuid() != TESTED_USER:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, TESTED_USER, TESTED_USER, follow_symlinks=False)
    return folder


def _give_pipes(uid: int) -> None:
    """Pipes on fds 0-2 become this user's; what else is there has an owner already."""
    for fd in range(3):
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.fchown(fd, uid, uid)


def make_launchers(
    folder: Path,
    python: str = sys.executable,
    checkout: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> None:
    """Write glurun, glunix, ... of this very checkout (or a copy) into `folder`."""
    environment = {**os.environ, **(env or {})}
    environment["PYTHONPATH"] = f"{checkout}:{sysconfig.get_path('purelib')}"
    command = [python, "-m", "glunix.cli.launchers", str(folder)]
    subprocess.run(command, check=True, env=environment, cwd=checkout, timeout=DEADLINE)


def everybodys_python() -> str | None:
    """An interpreter like ours that every user may start, from a shell, too: ours may be in
    /root. None: there is none."""
    code = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    for python in (sys.executable, "/usr/bin/python3"):
        if os.geteuid() != 0:
            return python
        words = [*as_user(NOBODY), "sh", "-c", f'{python} -c "{code}" 2>/dev/null']
        if subprocess.run(words, timeout=DEADLINE, check=False).returncode == 0:
            return python
    return None


def as_user(uid: int) -> list[str]:
    """The words that make a command run as another user (root only)."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]


@dataclass(frozen=True)
class Member:
    """One process of a cluster, as cluster.json has it."""

    name: str
    pid: int
    isolated: tuple[str, ...]

    def fds(self) -> dict[int, str]:
        """Its open descriptors and what they are; empty when it is gone."""
        found = {}
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{self.pid}/fd"):
                with contextlib.suppress(OSError):
                    found[int(entry.name)] = os.readlink(entry.path)
        return found

    def rss(self) -> int:
        """Resident memory in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024


def processes() -> dict[int, tuple[int, str]]:
    """Every live process of the machine: pid -> (parent, PID namespace). Zombies count."""
    found = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError, IndexError):
            stat = Path(f"/proc/{entry.name}/stat").read_text()
            space = ""
            with contextlib.suppress(OSError):  # a zombie has none
                space = os.readlink(f"/proc/{entry.name}/ns/pid")
            found[int(entry.name)] = (int(stat.rpartition(")")[2].split()[1]), space)
    return found


def guests_of(member: Member, everything: Mapping[int, tuple[int, str]] | None = None) -> list[int]:
    """Processes of a node besides its daemon: of its PID namespace, and its descendants."""
    everything = processes() if everything is None else everything
    found = descendants(member.pid, everything)
    if "pid" in member.isolated and member.pid in everything:
        space = everything[member.pid][1]
        found |= {pid for pid, (_, other) in everything.items() if other == space}
    return sorted(found - {member.pid})


def programs_of(member: Member) -> list[int]:
    """The guests of a node without the reapers beside them (glunix/node/spawn/reaper.c)."""
    found = []
    for pid in guests_of(member):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text() != "glunix-reaper\n":
                found.append(pid)
    return found


def descendants(root: int, everything: Mapping[int, tuple[int, str]]) -> set[int]:
    """The processes below `root`."""
    found: set[int] = set()
    below: dict[int, list[int]] = {}
    for pid, (parent, _) in everything.items():
        below.setdefault(parent, []).append(pid)
    todo = [root]
    while todo:
        more = below.get(todo.pop(), [])
        found.update(more)
        todo += more
    return found


def alive(pid: int) -> bool:
    """Whether a process runs: a zombie that waits for its reaper does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def is_shadow(pid: int) -> bool:
    """Whether this only stands at home for a process of a job, whose name and words it shows."""
    try:
        return "/forkserver-" in os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return False


def is_startup(pid: int) -> bool:
    """Whether this stands at home for a transparent job's program, whose name and words it has."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        lines = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    except OSError:
        return False
    return any(line.startswith(b"glurun: home's half") for line in lines)


def is_of_ours(pid: int) -> bool:
    """Whether a command of this very process's tests began it: others run beside them."""
    try:
        return _MARK.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def describe(pid: int) -> str:
    """A process in words, for a failure."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return f"{pid} (gone)"
    return f"{pid} {state} {words.decode(errors='replace')}"


class Cluster:
    """One state folder and the tools that use it."""

    def __init__(self, bin_folder: Path, folder: Path | None = None, uid: int = -1) -> None:
        self.bin = bin_folder
        self._made = None
        if folder is None:
            self._made = Path(tempfile.mkdtemp(prefix="glunix-e2e-"))
            self._made.chmod(0o755)
            folder = self._made
        self.folder = folder
        self.uid = os.geteuid() if uid < 0 else uid
        self.user = self.uid if self.uid or uid >= 0 else TESTED_USER
        """Who runs commands other than `glunix`."""
        if uid >= 0 and uid != os.geteuid():
            os.chown(folder, uid, uid)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[Cluster]:
        """It is down and its folder gone afterwards, also when the tests are killed meanwhile.

        The guardian is nobody's child: other tests of this worker count theirs.
        """
        work = 'cat <&3 >/dev/null; glunix down >/dev/null 2>&1; rm -rf "$1"'
        made = "" if self._made is None else str(self._made)
        words = ["sh", "-c", f"exec 3<&0; ({work}) & exit 0", "guardian", made]
        tether, ours = os.pipe()
        over, gone = os.pipe()
        try:
            with self.start(*words, stdin=tether, stdout=gone) as guardian:
                assert guardian.wait(20) == 0
        finally:
            os.close(tether)
            os.close(gone)
        try:
            yield self
            self.down()
        finally:
            os.close(ours)
            ended, _, _ = select.select([over], [], [], 40)  # its end of file: the guardian's end
            os.close(over)
        assert ended, "the guardian has not finished"

    # -- running commands --------------------------------------------------------------------

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What commands of the tests get: ours, this cluster, these tools first on PATH."""
        found = {k: v for k, v in os.environ.items() if not k.startswith("GLUNIX_")}
        found["GLUNIX_DIR"] = str(self.folder)
        found["PATH"] = f"{self.bin}:{os.environ['PATH']}"
        found["LC_ALL"] = "C.UTF-8"
        name, _, value = _MARK.partition("=")
        found[name] = value
        found.pop("PYTHONPATH", None)
        return {**found, **(more or {})}

    def _user(self, argv: Sequence[str], uid: int | None) -> int:
        return uid if uid is not None else self.uid if argv[0] == "glunix" else self.user

    def _words(self, argv: Sequence[str], uid: int | None) -> list[str]:
        user = self._user(argv, uid)
        found = shutil.which(argv[0], path=self.environment()["PATH"])
        assert found, f"{argv[0]} is not installed"
        prefix = as_user(user) if user != os.geteuid() else []
        return [*prefix, found, *argv[1:]]

    def start(
        self,
        *argv: str,
        uid: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start a command in a process group of its own.

        Pipes that are made for it are its user's, as those of his own shell would be: else he
        might not open /dev/stderr.
        """
        user = self._user(argv, uid)
        give = None if user == os.geteuid() else functools.partial(_give_pipes, user)
        return subprocess.Popen(
            self._words(argv, uid),
            env=self.environment(env),
            cwd=cwd or "/",
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            preexec_fn=give,
            process_group=0,  # not a session: the kernel would not let it be stopped (orphaned)
        )

    def run(
        self,
        *argv: str,
        stdin: bytes | None = None,
        timeout: float = DEADLINE,
        uid: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
    ) -> Result:
        """Run a command to its end; AssertionError after `timeout` seconds."""
        source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        with ended(self.start(*argv, uid=uid, env=env, cwd=cwd, stdin=source)) as process:
            return finish(process, stdin, timeout)

    def glurun(self, *words: str, **how: object) -> Result:
        """`run` of a glurun command line."""
        return self.run("glurun", *words, **how)  # type: ignore[arg-type]

    def shell(self, line: str, **how: object) -> Result:
        """`run` of a bash command line."""
        return self.run("bash", "--norc", "--noprofile", "-c", line, **how)  # type: ignore[arg-type]

    # -- the cluster -------------------------------------------------------------------------

    def up(self, nodes: int = 4) -> Result:
        """`glunix up`; must succeed."""
        result = self.run("glunix", "up", "-n", str(nodes), timeout=40)
        assert result.status == 0, result
        return result

    def down(self) -> Result:
        """`glunix down`; must succeed."""
        result = self.run("glunix", "down", timeout=40)
        assert result.status == 0, result
        return result

    def remove(self) -> None:
        """Stop it, and remove its folder if we made it."""
        try:
            self.down()
        finally:
            if self._made is not None:
                shutil.rmtree(self._made)

    def members(self) -> dict[str, Member]:
        """Who belongs to the cluster, by name."""
        try:
            rows = json.loads((self.folder / "private" / "cluster.json").read_text())
        except FileNotFoundError:
            return {}
        return {r["name"]: Member(r["name"], r["pid"], tuple(r["isolated"])) for r in rows}

    def nodes(self) -> dict[str, Member]:
        """The members that run jobs."""
        return {n: m for n, m in self.members().items() if n.startswith("node")}

    def log(self, name: str) -> str:
        """All that a member wrote."""
        return (self.folder / "private" / f"{name}.log").read_text(errors="replace")

    def jobs(self) -> list[dict[str, object]]:
        """glups -a --json."""
        result = self.run("glups", "-a", "--json")
        assert result.status == 0, result
        rows = json.loads(result.out)
        assert isinstance(rows, list)
        return rows

    def states(self) -> dict[str, str]:
        """Node -> state, by glustat."""
        result = self.run("glustat", "--json")
        assert result.status == 0, result
        return {row["name"]: row["state"] for row in json.loads(result.out)}


def finish(
    process: subprocess.Popen[bytes], stdin: bytes | None = None, timeout: float = DEADLINE
) -> Result:
    """Wait for a started command and take all it says."""
    try:
        out, err = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"still running after {timeout} s: {late.cmd}: {late.stderr!r}")
    status = process.returncode
    return Result(status if status >= 0 else 128 - status, out or b"", err or b"")


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Whatever happens, the process and its group are over and its pipes closed afterwards."""
    try:
        yield process
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(DEADLINE)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def read_line(process: subprocess.Popen[bytes], deadline: float = DEADLINE) -> str:
    """The next line of a started command's standard output, read byte by byte."""
    return read_until(process, b"\n", deadline).decode().rstrip("\n")


def read_until(process: subprocess.Popen[bytes], mark: bytes, deadline: float = DEADLINE) -> bytes:
    """Standard output up to and with `mark`; AssertionError when it does not come."""
    import select

    assert process.stdout is not None
    fd, data, end = process.stdout.fileno(), b"", time.monotonic() + deadline
    while not data.endswith(mark):
        left = end - time.monotonic()
        assert left > 0 and select.select([fd], [], [], left)[0], f"no {mark!r} after {data!r}"
        byte = os.read(fd, 1)
        assert byte, f"end of output instead of {mark!r} after {data!r}"
        data += byte
    return data


def stop_signal(process: subprocess.Popen[bytes], deadline: float = DEADLINE) -> int:
    """Wait until a child is stopped, as a shell does; returns the signal that stopped it."""
    status: list[int] = []

    def stopped() -> bool:
        pid, found = os.waitpid(process.pid, os.WNOHANG | os.WUNTRACED)
        if pid:
            status.append(found)
        return bool(pid)

    until(stopped, "it is stopped", deadline)
    if not os.WIFSTOPPED(status[0]):
        process.returncode = os.waitstatus_to_exitcode(status[0])  # reaped here: Popen must know
        raise AssertionError(f"ended with {process.returncode} instead of stopping")
    return os.WSTOPSIG(status[0])
