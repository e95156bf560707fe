"""guard: rules as written, what they refuse, and the hole of 1998 closed on every engine."""

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from slic_fake import FakeTracee, call
from slic_harness import result_of

from slic.engine import Engine
from slic.interposers.guard import Guard, load
from slic.interposers.support.symbols import SYMBOLS, TABLE
from slic.policy import Decision, Policy
from slic.syscalls import BY_NAME
from slic.verdict import Continue, Fail

LOCKS = """
[[rule]]
name = "lock files in /tmp are not opened through links"
calls = ["open", "openat"]
where = { flags = { any_of = "O_CREAT", none_of = "O_EXCL|O_NOFOLLOW" } }
text = { filename = "/tmp/*.lock" }
answer = "EPERM"
"""
FLAGGED = os.O_CREAT | os.O_WRONLY


def refuses(rules: str, name: str, *args: int, tracee: FakeTracee | None = None) -> int:
    """The errno a call is refused with; 0 if it is left alone."""
    guard = Guard(load(rules), image=lambda pid: "/usr/bin/program")
    decision = Policy([guard]).decide(call(name, *args), tracee or FakeTracee())
    assert isinstance(decision, Decision)
    if isinstance(decision.verdict, Continue):
        return 0
    assert isinstance(decision.verdict, Fail)
    return decision.verdict.errno


def rule(text: str) -> str:
    return f'[[rule]]\nname = "r"\n{text}'


@pytest.mark.parametrize(
    ("name", "flags", "expected"),
    [
        (b"/tmp/a.lock", FLAGGED, errno.EPERM),
        (b"/tmp/../tmp/./deep/a.lock", FLAGGED, errno.EPERM),
        (b"/tmp/a.lock", FLAGGED | os.O_EXCL, 0),
        (b"/tmp/a.lock", FLAGGED | os.O_NOFOLLOW, 0),
        (b"/tmp/a.lock", os.O_WRONLY, 0),
        (b"/tmp/a.txt", FLAGGED, 0),
        (b"/var/a.lock", FLAGGED, 0),
    ],
)
def test_the_hole_of_1998(name: bytes, flags: int, expected: int) -> None:
    tracee = FakeTracee(name + bytes(100))
    assert refuses(LOCKS, "open", 0x1000, flags, 0, tracee=tracee) == expected
    assert refuses(LOCKS, "openat", -100, 0x1000, flags, 0, tracee=tracee) == expected


def test_relative_names_are_completed() -> None:
    tracee = FakeTracee(b"a.lock" + bytes(100))
    tracee.links[5] = "/tmp/x"
    assert refuses(LOCKS, "openat", 5, 0x1000, FLAGGED, tracee=tracee) == errno.EPERM
    tracee.links[5] = "/var"
    assert refuses(LOCKS, "openat", 5, 0x1000, FLAGGED, tracee=tracee) == 0


@pytest.mark.parametrize(
    ("where", "value", "refused"),
    [
        ("0o6000", 0o6000, True),
        ('"S_ISUID"', 0o4755, False),
        ('{ any_of = "S_ISUID|S_ISGID" }', 0o2755, True),
        ('{ any_of = "S_ISUID|S_ISGID" }', 0o755, False),
        ('{ all_of = "S_ISUID|S_ISGID" }', 0o2755, False),
        ('{ all_of = "S_ISUID|S_ISGID" }', 0o6755, True),
        ("{ one_of = [1, 0x10] }", 16, True),
        ("{ one_of = [1, 0x10] }", 2, False),
        ('{ none_of = "0o22" }', 0o644, True),
        ('{ none_of = "0o22" }', 0o664, False),
        ("{ any_of = 0o4000, none_of = 0o22 }", 0o4777, False),
        ("{ any_of = 0o4000, none_of = 0o22 }", 0o4755, True),
    ],
)
def test_tests_of_arguments(where: str, value: int, refused: bool) -> None:
    rules = rule(f'calls = ["fchmod"]\nwhere = {{ mode = {where} }}')
    assert bool(refuses(rules, "fchmod", 3, value)) is refused
    # What the upper bits of the register hold does not get past the rule: the kernel drops them.
    assert bool(refuses(rules, "fchmod", 3, value | 1 << 40)) is refused


def test_negative_numbers_are_as_wide_as_the_argument() -> None:
    rules = rule('calls = ["setsid", "kill"]\n')
    assert refuses(rules, "setsid") == errno.EPERM
    everyone = rule('calls = ["kill"]\nwhere = { pid = -1 }')
    assert refuses(everyone, "kill", -1, 9)
    assert refuses(everyone, "kill", 0xFFFFFFFF, 9)
    assert not refuses(everyone, "kill", 1, 9)


def test_rules_for_certain_programs_and_answers() -> None:
    rules = rule('calls = ["socket"]\nwhere = { domain = "AF_ALG" }\nanswer = "EAFNOSUPPORT"\n')
    assert refuses(rules, "socket", 38, 5, 0) == errno.EAFNOSUPPORT
    assert refuses(rules + 'programs = "/usr/bin/prog*"', "socket", 38, 5, 0)
    assert not refuses(rules + 'programs = "*/other"', "socket", 38, 5, 0)


def test_what_is_refused_is_counted() -> None:
    guard = Guard(load(rule('calls = ["setsid"]')))
    for _ in range(3):
        Policy([guard]).decide(call("setsid"), FakeTracee())
    assert guard.refused == {"r": 3}


def test_only_what_a_rule_says_is_caught() -> None:
    rules = rule('calls = ["fchmod"]\nwhere = { mode = { any_of = "S_ISUID" } }')
    subscription = Policy([Guard(load(rules))]).subscription()
    assert set(subscription.calls) == {BY_NAME["fchmod"].number}
    (alternatives,) = subscription.calls.values()
    (tests,) = alternatives
    assert [t.holds((3, mode, 0, 0, 0, 0)) for t in tests for mode in (0o4755, 0o755)] == [
        True,
        False,
    ]


def test_two_rules_for_one_call() -> None:
    rules = rule('calls = ["fchmod"]\nwhere = { mode = 1 }\n') + rule(
        'calls = ["fchmod"]\nwhere = { mode = 2 }\nanswer = "EIO"'
    ).replace('"r"', '"s"')
    assert refuses(rules, "fchmod", 3, 1) == errno.EPERM
    assert refuses(rules, "fchmod", 3, 2) == errno.EIO
    assert refuses(rules, "fchmod", 3, 3) == 0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("", "rule"),
        ('[[rule]]\ncalls = ["open"]', "name"),
        (rule("calls = []"), "calls"),
        (rule('calls = ["opne"]'), "opne"),
        (rule('calls = ["open"]\nwhere = { mood = 1 }'), "mood"),
        (rule('calls = ["open"]\nwhere = { flags = "O_CRAET" }'), "O_CRAET"),
        (rule('calls = ["open"]\nwhere = { flags = { some_of = 1 } }'), "some_of"),
        (rule('calls = ["open"]\ntext = { flags = "x" }'), "no text"),
        (rule('calls = ["open"]\nanswer = "EPREM"'), "EPREM"),
        (rule('calls = ["open"]\nanswer = "errorcode"'), "errorcode"),
        (rule('calls = ["open"]\nwhen = 1'), "when"),
    ],
)
def test_a_wrong_rule_is_told(wrong: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load(wrong)


def test_the_table_of_symbols(guest: Callable[..., str]) -> None:
    """Against the system's headers, through a compiler."""
    headers = ("linux/vm_sockets.h", "linux/keyctl.h", "sys/ptrace.h", "asm/ioctls.h", "sched.h")
    shown = "".join(f'printf("{name} %d\\n", (int){name});\n' for name in TABLE)
    source = "".join(f"#include <{h}>\n" for h in headers) + f"int main(void) {{ {shown} }}"
    told = subprocess.run([guest("symbols", source)], capture_output=True, text=True, check=True)
    assert {n: int(v) for n, v in (line.split() for line in told.stdout.splitlines())} == TABLE
    assert SYMBOLS["O_CREAT"] == os.O_CREAT
    assert SYMBOLS["S_ISUID"] == 0o4000


# -- real programs -----------------------------------------------------------------------------
ADMIN = r"""
/* The tool with the hole: it makes its lock where everybody may put a link before. */
int main(int argc, char **argv) {
  int fd = open(argv[1], O_WRONLY | O_CREAT, 0666);
  if (fd < 0) { printf("lock: %s\n", strerror(errno)); }
  else { if (write(fd, "locked", 6) != 6) return 1; puts("locked"); }
  fd = open(argv[2], O_WRONLY | O_CREAT | O_EXCL, 0666); puts(fd < 0 ? "failed" : "worked");
  return 0; }
"""


def test_a_hole_is_closed_from_outside(
    engine: Engine, guest: Callable[..., str], tmp_path: Path
) -> None:
    tool = guest("admintool", ADMIN)
    target, lock = tmp_path / "passwd", tmp_path / "tool.lock"
    target.write_text("root")
    lock.symlink_to(target)
    rules = LOCKS.replace("/tmp/*.lock", f"{tmp_path}/*.lock")
    argv = [tool, str(lock), str(tmp_path / "new.lock")]
    guard = Guard(load(rules))
    told = f"lock: {os.strerror(errno.EPERM)}\nworked\n"
    assert result_of(engine, [guard], argv) == (0, told)
    assert target.read_text() == "root"
    assert sum(guard.refused.values()) == 1
    argv[2] += "2"
    assert result_of(engine, [], argv) == (0, "locked\nworked\n")  # and that is the hole
    assert target.read_text() == "locked"


def test_registers_are_not_raced(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.touch()
    rules = rule('calls = ["chmod", "fchmodat"]\nwhere = { mode = { any_of = "S_ISUID" } }')
    script = f"chmod 4755 {file} 2>/dev/null || echo refused; chmod 750 {file}; stat -c %a {file}"
    result = result_of(engine, [Guard(load(rules))], ["/bin/sh", "-c", script])
    assert result == (0, "refused\n750\n")
