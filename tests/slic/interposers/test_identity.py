"""identity: what uname and /proc tell, on a fake caller and to real programs on every engine."""

import errno
import os
from collections.abc import Callable

import pytest
from slic_fake import FakeTracee, call
from slic_harness import result_of

from slic.engine import Engine
from slic.interposers.identity import Identity, encode_utsname
from slic.policy import Decision, Policy
from slic.verdict import Continue, Fail, Return, ReturnFd, Verdict

NODE = os.uname_result(("Linux", "node", "6.1", "#1", "x86_64"))
NAME = 0x1000  # where FakeTracee's memory begins


def decide(identity: Identity, tracee: FakeTracee, name: str, *args: int) -> Verdict:
    decision = Policy([identity]).decide(call(name, *args), tracee)
    assert isinstance(decision, Decision)
    return decision.verdict


def read_and_close(fd: int) -> bytes:
    try:
        return os.read(fd, 1000)
    finally:
        os.close(fd)


def fields(raw: bytes) -> list[bytes]:
    assert len(raw) == 390
    return [raw[i : i + 65].rstrip(b"\0") for i in range(0, 390, 65)]


def test_utsname_has_six_fields_of_65_bytes() -> None:
    raw = encode_utsname(NODE, b"home", b"lab")
    assert fields(raw) == [b"Linux", b"home", b"6.1", b"#1", b"x86_64", b"lab"]


def test_uname_keeps_what_is_the_nodes() -> None:
    tracee = FakeTracee()
    assert decide(Identity(b"home", b"lab"), tracee, "uname", NAME) == Return(0)
    seen = fields(bytes(tracee.memory[:390]))
    assert seen == [b"Linux", b"home", b"6.1", b"#1", b"x86_64", b"lab"]


def test_uname_to_a_wrong_address_is_efault() -> None:
    assert decide(Identity(b"home", b"lab"), FakeTracee(), "uname", 7) == Fail(errno.EFAULT)


def test_without_a_domain_the_nodes_shows() -> None:
    tracee = FakeTracee()
    read, write = os.pipe()
    os.write(write, b"nodedomain\n")
    os.close(write)
    tracee.files["/proc/sys/kernel/domainname"] = read
    identity = Identity(b"home")
    assert decide(identity, tracee, "uname", NAME) == Return(0)
    assert fields(bytes(tracee.memory[:390]))[5] == b"nodedomain"
    assert decide(identity, tracee, "uname", NAME) == Return(0)  # asked once only


@pytest.mark.parametrize("setter", ["sethostname", "setdomainname"])
def test_setting_a_name_is_refused(setter: str) -> None:
    identity = Identity(b"home", b"lab")
    assert decide(identity, FakeTracee(b"evil\0" + bytes(99)), setter, NAME, 4) == Fail(errno.EPERM)
    assert (identity.hostname, identity.domain) == (b"home", b"lab")


def test_setting_a_name_for_the_job() -> None:
    identity = Identity(b"home", b"lab", settable=True)
    tracee = FakeTracee(b"other" + bytes(395))
    assert decide(identity, tracee, "sethostname", NAME, 5) == Return(0)
    assert decide(identity, tracee, "setdomainname", NAME, 3) == Return(0)
    assert decide(identity, tracee, "sethostname", NAME, 65) == Fail(errno.EINVAL)
    assert decide(identity, tracee, "sethostname", NAME, -1) == Fail(errno.EINVAL)
    assert decide(identity, tracee, "uname", NAME) == Return(0)
    seen = fields(bytes(tracee.memory[:390]))
    assert (seen[1], seen[5]) == (b"other", b"oth")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"/proc/sys/kernel/hostname", b"home\n"),
        (b"/proc/sys/../sys/kernel//domainname", b"lab\n"),
    ],
)
def test_opens_of_the_names_are_served(name: bytes, expected: bytes) -> None:
    tracee = FakeTracee(name + bytes(99))
    verdict = decide(Identity(b"home", b"lab"), tracee, "open", NAME, os.O_RDONLY | os.O_CLOEXEC)
    assert isinstance(verdict, ReturnFd)
    assert verdict.cloexec
    assert read_and_close(verdict.fd) == expected


def test_a_relative_openat_is_recognised() -> None:
    tracee = FakeTracee(b"kernel/hostname" + bytes(99))
    tracee.links[5] = "/proc/sys"
    verdict = decide(Identity(b"home"), tracee, "openat", 5, NAME, os.O_RDONLY)
    assert isinstance(verdict, ReturnFd)
    assert read_and_close(verdict.fd) == b"home\n"


def test_an_openat2_is_recognised() -> None:
    how = NAME + 64
    tracee = FakeTracee(b"/proc/sys/kernel/hostname".ljust(64, b"\0") + bytes(99))
    verdict = decide(Identity(b"home"), tracee, "openat2", -100, NAME, how, 24)
    assert isinstance(verdict, ReturnFd)
    assert not verdict.cloexec
    assert read_and_close(verdict.fd) == b"home\n"
    assert decide(Identity(b"home"), tracee, "openat2", -100, NAME, how, 23) == Fail(errno.EINVAL)


def test_opens_for_writing_are_refused() -> None:
    tracee = FakeTracee(b"/proc/sys/kernel/hostname" + bytes(99))
    assert decide(Identity(b"h"), tracee, "open", NAME, os.O_WRONLY) == Fail(errno.EACCES)
    assert decide(Identity(b"h"), tracee, "creat", NAME, 0o644) == Fail(errno.EACCES)


@pytest.mark.parametrize("name", [b"/etc/hostname", b"/etc/passwd", b"/proc/sys/kernel/xhostname"])
def test_other_files_are_the_kernels(name: bytes) -> None:
    tracee = FakeTracee(name + bytes(99))
    assert isinstance(decide(Identity(b"h"), tracee, "open", NAME, 0), Continue)


def test_arguments() -> None:
    made = Identity.from_argument("hostname=a,domain=b.c,set=job,proc=no")
    assert (made.hostname, made.domain, made.settable, made.proc) == (b"a", b"b.c", True, False)
    assert "openat" not in {c for h in made.declarations() for c in h.calls}
    for wrong in ("", "domain=x", "hostname=", "hostname=a,sets=job", f"hostname={'x' * 65}"):
        with pytest.raises(ValueError):
            Identity.from_argument(wrong)


# -- real programs ---------------------------------------------------------------------------
SEEN = """
uname -n; cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname
cd /proc/sys; cat kernel/hostname; head -c 2 < kernel/hostname; echo
(echo evil > /proc/sys/kernel/hostname) 2>/dev/null || echo refused
uname -s
"""


def test_a_shell_sees_the_name(engine: Engine) -> None:
    status, output = result_of(engine, [Identity(b"home", b"lab")], ["/bin/sh", "-c", SEEN])
    assert (status, output) == (0, "home\nhome\nlab\nhome\nho\nrefused\nLinux\n")


NAMES = r"""
#include <sys/utsname.h>
int main(void) {
  char host[65], domain[65]; struct utsname u;
  if (gethostname(host, 65) || getdomainname(domain, 65) || uname(&u)) return 1;
  errno = 0; int r = sethostname("evil", 4);
  printf("%s %s %s %d %d ", host, domain, u.release, r, errno);
  errno = 0; r = uname((void *)8);
  printf("%d %d\n", r, errno);
  return 0; }
"""


def test_libc_sees_the_name(engine: Engine, guest: Callable[..., str]) -> None:
    status, output = result_of(engine, [Identity(b"home", b"lab")], [guest("names", NAMES)])
    release = os.uname().release
    assert (status, output) == (0, f"home lab {release} -1 {errno.EPERM} -1 {errno.EFAULT}\n")


def test_a_renamed_job_leaves_the_node_alone(engine: Engine, guest: Callable[..., str]) -> None:
    before = os.uname().nodename
    identity = Identity(b"home", b"lab", settable=True)
    status, output = result_of(engine, [identity], [guest("names", NAMES)])
    release = os.uname().release
    assert (status, output) == (0, f"home lab {release} 0 0 -1 {errno.EFAULT}\n")
    assert os.uname().nodename == before
    assert identity.hostname == b"evil"
