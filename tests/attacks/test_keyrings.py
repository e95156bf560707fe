"""Keys of others (keyrings(7)): of the daemon, of a submitting process, of another user's job.

Serial numbers are no secret here: the attacker is told them. A key lets its possessor do all and
its owner nothing, so that only the keyring gives it away that it is in.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster, as_user, ended, read_line

from .rooted import BOB, MALLORY, needs_root

pytestmark = needs_root

levels = pytest.mark.parametrize("level", [(), ("-T",)], ids=["user level", "-T"])

PYTHON = "/usr/bin/python3"

CALLS = """
import ctypes, errno, os, sys, time, json
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(*words):
    plain = [ctypes.c_ulong(w & (1 << 64) - 1) if isinstance(w, int) else w for w in words]
    found = libc.syscall(*plain)
    return found if found >= 0 else errno.errorcode.get(ctypes.get_errno(), ctypes.get_errno())
def keyctl(*words): return call(250, *words)
def add(kind, name, data, ring): return call(248, kind, name, data, len(data) if data else 0, ring)
def read(key):
    room = ctypes.create_string_buffer(64)
    size = keyctl(11, key, room, 64)
    return room.raw[:size].decode("latin-1") if isinstance(size, int) else size
POSSESSOR_ONLY = 0x3f000000
SESSION, USER = -3, -4
def hold(secret, ring):
    key = add(b"user", b"secret", secret.encode(), ring)
    assert isinstance(key, int), key
    assert keyctl(5, key, POSSESSOR_ONLY) == 0
    return key
"""

HOLDS = (
    CALLS
    + """
ring = keyctl(0, SESSION, 1)
key = hold(sys.argv[1], SESSION)
assert read(key) == sys.argv[1]
print(json.dumps([ring, key]), flush=True)
sys.stdin.read()
print(read(key), flush=True)
"""
)
"""A process with a secret in its session keyring. It tells the numbers, and at last the secret."""

SUBMITS = (
    CALLS
    + """
ring = keyctl(1, b"a-name-of-mine")
key = hold("submitters", SESSION)
assert read(key) == "submitters"
os.execvp(sys.argv[1], [*sys.argv[1:], json.dumps([ring, key])])
"""
)

ANEW = CALLS + (
    "if os.fork() == 0:\n    keyctl(1, None)\n    os.execvp(sys.argv[1], sys.argv[1:])\n"
    "sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))"
)
"""Another login of the same user."""

ATTACKS = (
    CALLS
    + """
ring, key = json.loads(sys.argv[1])
own = add(b"user", b"own", b"own", SESSION)
assert isinstance(own, int) and read(own) == "own"
room = ctypes.create_string_buffer(256)
tries = {
    "read": lambda: read(key),
    "read the ring": lambda: read(ring),
    "search the ring": lambda: keyctl(10, ring, b"user", b"secret", 0),
    "search what is ours": lambda: keyctl(10, SESSION, b"user", b"secret", 0),
    "search the user's": lambda: keyctl(10, USER, b"user", b"secret", 0),
    "request": lambda: call(249, b"user", b"secret", None, 0),
    "link": lambda: keyctl(8, key, SESSION),
    "link the ring": lambda: keyctl(8, ring, SESSION),
    "link into the ring": lambda: keyctl(8, own, ring),
    "add to the ring": lambda: add(b"user", b"foreign", b"foreign", ring),
    "describe": lambda: keyctl(6, key, room, 256),
    "update": lambda: keyctl(2, key, b"false", 5),
    "set its rights": lambda: keyctl(5, key, 0x3f3f3f3f),
    "set the ring's rights": lambda: keyctl(5, ring, 0x3f3f3f3f),
    "own it": lambda: keyctl(4, key, os.getuid(), -1),
    "own the ring": lambda: keyctl(4, ring, os.getuid(), -1),
    "take it out": lambda: keyctl(9, key, ring),
    "clear the ring": lambda: keyctl(7, ring),
    "revoke": lambda: keyctl(3, key),
    "revoke the ring": lambda: keyctl(3, ring),
    "invalidate": lambda: keyctl(21, key),
    "invalidate the ring": lambda: keyctl(21, ring),
    "let it expire": lambda: keyctl(15, key, 1),
    "move": lambda: keyctl(30, key, ring, SESSION, 0),
    "assume authority": lambda: keyctl(16, key),
    "be in a ring of that name": lambda: keyctl(1, b"a-name-of-mine") == ring or "EACCES",
}
got = {name: attempt() for name, attempt in tries.items()}
refused = ("EACCES", "EPERM", "ENOKEY", "ENOENT", "EKEYREVOKED", "ENOTDIR", "EOPNOTSUPP", "EINVAL")
print(json.dumps({name: answer for name, answer in got.items() if answer not in refused}))
"""
)


@pytest.fixture(scope="module", autouse=True)
def _has_keyrings() -> None:
    done = subprocess.run([sys.executable, "-c", CALLS + "hold('x', SESSION)"], timeout=20)
    if done.returncode:
        pytest.skip("this kernel has no keyrings, or none for us")


@pytest.fixture
def scripts(place: Path) -> Path:
    for name, text in (("holds", HOLDS), ("submits", SUBMITS), ("attacks", ATTACKS)):
        (place / f"{name}.py").write_text(text)
    return place


@contextlib.contextmanager
def holding(cluster: Cluster, uid: int, *words: str) -> Iterator[str]:
    """A process of this user has a secret meanwhile; what is said of it. It has it to the end."""
    with ended(cluster.start(*words, "secret", uid=uid, stdin=subprocess.PIPE)) as process:
        yield read_line(process)
        assert process.stdin is not None
        process.stdin.close()
        assert read_line(process) == "secret"


def attack(cluster: Cluster, level: tuple[str, ...], uid: int, scripts: Path, said: str) -> object:
    """What the attack got by a job of this user."""
    words = ["-w", "node1", PYTHON, str(scripts / "attacks.py"), said]
    result = cluster.glurun(*level, *words, uid=uid)
    assert result.status == 0, result
    return json.loads(result.text)


def test_the_attack_finds_what_is_given(scripts: Path) -> None:
    """Where the keyring is the attacker's own, nearly all of it works."""
    words = [PYTHON, str(scripts / "submits.py"), PYTHON]
    done = subprocess.run(
        [*as_user(MALLORY), *words, str(scripts / "attacks.py")], capture_output=True, timeout=20
    )
    assert done.returncode == 0, done
    got = json.loads(done.stdout)
    assert got["read"] == "submitters"
    assert {"search the ring", "request", "link into the ring", "clear the ring"} <= got.keys()


@levels
def test_keys_of_another_users_job(shared: Cluster, scripts: Path, level: tuple[str, ...]) -> None:
    holder = ["glurun", *level, "-w", "node1", PYTHON, str(scripts / "holds.py")]
    with holding(shared, BOB, *holder) as said:
        for other in ((), ("-T",)):
            assert attack(shared, other, MALLORY, scripts, said) == {}


@levels
def test_keys_of_a_submitter(shared: Cluster, scripts: Path, level: tuple[str, ...]) -> None:
    """A job is in no session of its submitter's: it can do with these keys what another login of
    that user can do, and another user's job nothing."""
    attacks, submits = str(scripts / "attacks.py"), str(scripts / "submits.py")
    native = shared.run(PYTHON, submits, PYTHON, "-c", ANEW, PYTHON, attacks, uid=MALLORY)
    assert native.status == 0, native
    tail = [*level, "-w", "node1", PYTHON, attacks]
    ours = shared.run(PYTHON, submits, str(shared.bin / "glurun"), *tail, uid=MALLORY)
    assert ours.status == 0, ours
    got = json.loads(ours.text).keys()
    assert got == json.loads(native.text).keys()
    assert not got & {"read", "search the ring", "search what is ours", "request", "link"}
    with holding(shared, BOB, PYTHON, str(scripts / "holds.py")) as said:
        assert attack(shared, level, MALLORY, scripts, said) == {}


@pytest.fixture(scope="module")
def started_with_a_secret(tools: Path) -> Iterator[tuple[Cluster, str]]:
    """A cluster of root's that was started in a session with a secret; what is said of that."""
    with Cluster(tools).guarded() as cluster:
        script = CALLS + (
            "ring = keyctl(0, SESSION, 1)\nkey = hold('secret', SESSION)\n"
            "print(json.dumps([ring, key]), flush=True)\n"
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        tool = str(cluster.bin / "glunix")
        words = ["keyctl-session", "-c", script, tool, "up", "-n", "1"]
        joined = f"import ctypes; ctypes.CDLL(None).syscall(250, 1, None)\n{script}"
        words[2] = joined
        done = subprocess.run(
            [sys.executable, *words[1:]],
            env=cluster.environment(),
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done
        yield cluster, done.stdout.decode().split("\n")[0]


@levels
def test_keys_of_the_daemons_session(
    started_with_a_secret: tuple[Cluster, str], scripts: Path, level: tuple[str, ...]
) -> None:
    cluster, said = started_with_a_secret
    assert attack(cluster, level, MALLORY, scripts, said) == {}


UP = (
    CALLS
    + """
mine = keyctl(1, None)
assert isinstance(mine, int)
add(b"user", b"planted", b"planted", SESSION)
print(keyctl(18))
"""
)

LOOK = CALLS + "print(call(249, b'user', b'planted', None, 0))"


@levels
def test_no_keyring_is_given_to_what_stands_above(shared: Cluster, level: tuple[str, ...]) -> None:
    """KEYCTL_SESSION_TO_PARENT: the parent is the user's session server, keeper or helper."""
    native = shared.run("sh", "-c", f'{PYTHON} -c "$1"; :', "sh", UP, uid=MALLORY)
    assert native.text == "0", native
    ours = shared.glurun(*level, "-w", "node1", PYTHON, "-c", UP, uid=MALLORY)
    assert ours.text == "EPERM", ours
    for uid in (MALLORY, BOB):
        for other in ((), ("-T",)):
            found = shared.glurun(*other, "-w", "node1", PYTHON, "-c", LOOK, uid=uid)
            assert found.text == "ENOKEY", found


FILL = (
    CALLS
    + """
count = 0
while isinstance(add(b"user", b"key %d" % count, b"x" * 40, USER), int):
    count += 1
assert count, "no keys at all"
print(add(b"user", b"one more", b"x", SESSION), flush=True)
print("full", flush=True)
if sys.argv[1:]: sys.stdin.read()
keyctl(7, USER)
"""
)


@levels
def test_a_user_without_room_for_keys(shared: Cluster, level: tuple[str, ...]) -> None:
    """All keys that a user may have are there: nobody else notices, and jobs of that user start,
    in session keyrings of their own (which are root's, and so is the room for them)."""
    with ended(
        shared.start(PYTHON, "-c", FILL, "waits", uid=MALLORY, stdin=subprocess.PIPE)
    ) as filler:
        assert read_line(filler) == "EDQUOT"
        assert read_line(filler) == "full"
        assert shared.glurun(*level, "-w", "node1", "true", uid=BOB).status == 0
        for _ in range(3):
            result = shared.glurun(*level, "-w", "node1", PYTHON, "-c", RING, uid=MALLORY)
            assert result.status == 0, result
        assert filler.stdin is not None
        filler.stdin.close()
        assert filler.wait(20) == 0


RING = CALLS + "ring = keyctl(0, SESSION, 0); assert isinstance(ring, int), ring; print(ring)"
