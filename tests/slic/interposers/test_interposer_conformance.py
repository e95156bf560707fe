"""The conformance guests under every shipped interposer that lets them do all they do; long form.

Native is the oracle. `DIFFERS` lists what an interposer changes by design, each told in its
docstring; what is listed and does not differ is an error too, unless it is a race (`AT_TIMES`).
"""

import os
import sys
from functools import cache
from pathlib import Path

import pytest

if not os.environ.get("GLUNIX_LONG"):
    pytest.skip("the long form only: GLUNIX_LONG=1", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests"))

from glunix.compare.guest import Guest  # noqa: E402
from glunix.compare.runner import compare, discover, run, unmet, variants  # noqa: E402
from slic.registry import ANSWERING, engines  # noqa: E402

DEADLINE = 60.0
WORKS = [name for name in ANSWERING if engines()[name].unavailable() is None]
EVERYTHING = """
files.read = ["/"]
files.write = ["/"]
files.execute = ["/"]
[network]
connect = ["0.0.0.0/0:*", "[::]/0:*", "unix:/", "unix:@*"]
udp = true
listen = true
"""
ONE_RULE = '[[rule]]\nname = "none"\ncalls = ["chmod"]\nwhere = { mode = 0o7777 }\n'
SHARED_MAP = "a file cannot be mapped shared for writing"
OTHER_ABI = "a program of the 32-bit ABI is refused by a policy that confines"
DIFFERS: dict[str, dict[str, str]] = {
    "restrict": {
        "exec_clone": "clone3 is refused, its flags are in memory",
        "exec_ia32": OTHER_ABI,
        "file_links": "renameat2 with flags is refused",
        "socket_peer": "the peer of a Unix connection sees the supervisor's pid",
        "socket_unix_names": "Unix datagram sockets are refused",
        "tty_own_pty": "opening a terminal does not make it the controlling one",
    },
    "crypt": {"exec_ia32": OTHER_ABI},
    "crypt-of-all": {
        "exec_arguments": "a script is encrypted, the kernel cannot read its first line",
        "exec_by_descriptor": "sendfile into an encrypted file is refused",
        "exec_errors": "a script is encrypted, the kernel cannot read its first line",
        "exec_ia32": OTHER_ABI,
        "file_copy_calls": "splice into an encrypted file is refused",
        "file_inotify": "inotify misses closings",
        "file_proc_self": "/proc/self/fd shows a memory file",
        "file_size_limit": "RLIMIT_FSIZE is not looked at",
        "file_stat": "blocks are those of the encrypted file",
        "memory_file_end": SHARED_MAP,
        "memory_shared": SHARED_MAP,
        "stdin_splice": "splice into an encrypted file is refused",
    },
    "identity": {"identity_sethostname": "the node is never renamed, also not by root"},
    "guard": {"exec_ia32": OTHER_ABI},
}
# Races told in the docstrings: of the ptrace engines (a second stop; handing in takes two more
# descriptors for a moment), of restrict (an interrupted open of a FIFO still waits at it).
AT_TIMES = {("ptrace", "socket_pair"), ("ptrace-seccomp", "socket_pair")}
AT_TIMES |= {(name, "file_descriptor_limit") for name in ("ptrace", "ptrace-seccomp")}
AT_TIMES |= {(name, "eintr_open_fifo") for name in WORKS}
WAYS = [(name, policy) for name in WORKS for policy in DIFFERS]


@cache
def native(guest: Guest) -> object:
    return run(guest, deadline=DEADLINE)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("policies")
    (folder / "vault").mkdir()
    (folder / "everything.toml").write_text(EVERYTHING)
    (folder / "rule.toml").write_text(ONE_RULE)
    (folder / "key").write_bytes(bytes(range(32)))
    (folder / "key").chmod(0o600)
    return {
        "restrict": f"restrict:{folder}/everything.toml",
        "crypt": f"crypt:dir={folder}/vault,key={folder}/key",
        "crypt-of-all": f"crypt:dir=/tmp,key={folder}/key",
        "identity": f"identity:hostname={os.uname().nodename}",
        "guard": f"guard:{folder}/rule.toml",
    }


@pytest.mark.slow
@pytest.mark.parametrize("guest", variants(discover()), ids=lambda guest: guest.name)
@pytest.mark.parametrize(("name", "policy"), WAYS)
def test_same_as_native(name: str, policy: str, guest: Guest, policies: dict[str, str]) -> None:
    if lacking := unmet(guest):
        pytest.skip(lacking)
    slic = [sys.executable, "-m", "slic.cli", "run", "-e", name, "-i", policies[policy], "--"]
    got = run(
        guest, lambda argv: [*slic, *argv], deadline=DEADLINE, extra={"PYTHONPATH": str(ROOT)}
    )
    differences = compare(native(guest), got)  # type: ignore[arg-type]
    if (name, guest.name) in AT_TIMES:
        return
    expected = guest.name.removesuffix("-static") in DIFFERS[policy]
    assert bool(differences) is expected, differences
