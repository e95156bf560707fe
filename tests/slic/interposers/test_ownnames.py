"""Names that are each process's own: where their links lead, for whom."""

import errno
import os
from pathlib import Path

import pytest

from slic.interposers.restrict import Rules
from slic.interposers.support.ownnames import Caller, led

LINKS = {
    "/etc/mtab": "../proc/self/mounts",
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "fd/0",
    "/proc/mounts": "self/mounts",
    "/proc/7/fd/0": "/somewhere",
    "/proc/7/cwd": "/work",
    "/a": "b/",
    "/b": "/c/./d",
    "/c/d": "..",
    "/loop": "loop",
}


def link_of(path: str) -> str:
    if path not in LINKS:
        raise OSError(errno.EINVAL, "no link")
    return LINKS[path]


@pytest.mark.parametrize(
    ("path", "policy", "call"),
    [
        ("/proc/self", "/proc/self", "/proc/7"),
        ("/proc/self/status", "/proc/self/status", "/proc/7/status"),
        ("/proc/thread-self/stat", "/proc/thread-self/stat", "/proc/7/task/9/stat"),
        ("/etc/mtab", "/proc/self/mounts", "/proc/7/mounts"),
        ("/proc/mounts", "/proc/self/mounts", "/proc/7/mounts"),
        ("/dev/fd", "/proc/self/fd", "/proc/7/fd"),
        ("/dev/stdin", "/proc/self/fd/0", "/proc/7/fd/0"),
        ("/proc/self/cwd/x", "/proc/self/cwd/x", "/work/x"),
        ("/a/x", "/x", "/x"),
        ("/a/../x/", "/x", "/x"),
        ("/../missing", "/missing", "/missing"),
        ("/", "/", "/"),
        ("/proc/selfish", "/proc/selfish", "/proc/selfish"),
    ],
)
def test_where_names_lead(path: str, policy: str, call: str) -> None:
    assert led(path, Caller(), link_of=link_of) == policy
    assert led(path, Caller.of(7, 9), link_of=link_of) == call


def test_links_that_are_not_followed_and_loops() -> None:
    caller = Caller.of(7, 9)
    assert led("/a", caller, follow=False, link_of=link_of) == "/a"
    assert led("/dev/fd/0", caller, follow=False, link_of=link_of) == "/proc/7/fd/0"
    with pytest.raises(OSError) as error:
        led("/loop/x", caller, link_of=link_of)
    assert error.value.errno == errno.ELOOP


def test_descriptors() -> None:
    caller = Caller.of(7, 9)
    assert caller.descriptor("/proc/7/fd/12") == 12
    assert caller.descriptor("/proc/7/task/9/fd/3") == 3
    for other in ("/proc/8/fd/3", "/proc/7/fdinfo/3", "/proc/7/cwd", "/proc/71/fd/3", "/dev/fd/3"):
        assert caller.descriptor(other) is None


def test_it_leads_where_the_kernel_leads(tmp_path: Path) -> None:
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/up").symlink_to("..")
    (tmp_path / "d/abs").symlink_to(tmp_path / "d/up/d/e")
    (tmp_path / "d/dangling").symlink_to("nothing/here")
    for name in ("d/up/d/e/..", "d/abs/../up/./d", "d/abs", "d/dangling", "d//e/", "d/up/d/abs/x"):
        path = f"{tmp_path}/{name}"
        assert led(path, Caller.of(os.getpid(), os.getpid())) == os.path.realpath(path)


@pytest.mark.parametrize("wrong", ["/proc/self/cwd", "/proc/self/root/etc", "/proc/self/exe"])
def test_a_policy_says_no_place_that_is_each_processs_own(wrong: str) -> None:
    with pytest.raises(ValueError, match="leads every process elsewhere"):
        Rules.load(f'files.read = ["{wrong}"]')
