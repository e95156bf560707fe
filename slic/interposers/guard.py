"""`guard`: refuses one named dangerous use of a call. `guard:RULES.toml`, any number of rules:

    [[rule]]
    name = "lock files in /tmp are not opened through links"
    calls = ["open", "openat"]
    where = { flags = { any_of = "O_CREAT", none_of = "O_EXCL|O_NOFOLLOW" } }
    text = { filename = "/tmp/*.lock" }
    answer = "EPERM"

This is what the SLIC of 1998 was shown with: a hole in a shipped program is closed from outside,
at once, by an extension that refuses the one use of one call that the hole needs; everything else
the program does is untouched. A rule refuses (with `answer`, an errno name) when all it says is
true of a call; a call that no rule describes pays nothing.

`where` tests arguments: a number (or symbols of fcntl.h and the like joined by |, hexadecimal too)
is compared; `{ any_of = M }` some bit of M is set, `{ all_of = M }` all, `{ none_of = M }` none,
`{ one_of = [A, B] }` one of these values. `text` compares strings in the program's memory with
shell patterns: `*` matches `/` too. `programs` limits a rule to images matching a pattern.

Limits. Arguments in registers (`where`) are tested by the kernel or on the engine's own copy: that
cannot be raced. Strings (`text`) are read from memory and read again by the kernel: another thread
can exchange them in between, a link can stand for another name. So `text` stops a program that is
wrong, not one that fights back; for that use `restrict`, which performs the open itself. Names are
compared as written, after `.`, `..` and the directory they are relative to are resolved (no links).
`programs` looks at /proc/PID/exe: it cannot be forged, but a copy of the program has another path.
A rule says nothing about the same deed through another call: name all of its calls.
"""

import errno
import fnmatch
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from slic.interposer import EVERY, Bits, Call, Handler, Interposer, Kind, argument_tests, on
from slic.interposers.support.pathcalls import PATH_CALLS
from slic.interposers.support.symbols import SYMBOLS
from slic.syscalls import BY_NAME, Syscall
from slic.tracee import AT_FDCWD, Tracee
from slic.verdict import Continue, Fail, Verdict

ALL_BITS = (1 << 64) - 1


class Test(NamedTuple):
    """One argument compared: `argument & mask` is one of `values`, or none of them."""

    argument: str
    bits: Bits

    def holds(self, call: Call) -> bool:
        """On the register as wide as the kernel reads it, as the engine's filter does."""
        index = call.syscall.index(self.argument)
        mask = self.bits.mask & call.syscall.arguments[index].kind.mask
        found = call.args[index] & mask in {v & mask for v in self.bits.values}
        return found != self.bits.negate


class Rule(NamedTuple):
    """What is refused: a call of `calls` for which all tests hold and all texts match."""

    name: str
    calls: tuple[str, ...]
    tests: tuple[Test, ...]
    texts: tuple[tuple[str, str], ...]
    programs: str
    answer: int

    def applies(self, tracee: Tracee, call: Call, image: Callable[[int], str]) -> bool:
        if call.name not in self.calls:
            return False
        if not all(test.holds(call) for test in self.tests):
            return False
        if self.programs and not fnmatch.fnmatchcase(image(tracee.pid), self.programs):
            return False
        return all(
            fnmatch.fnmatchcase(_text(tracee, call, argument), pattern)
            for argument, pattern in self.texts
        )


def image_path(pid: int) -> str:
    """The program a process runs; OSError if the process is gone."""
    return os.readlink(f"/proc/{pid}/exe")


class Guard(Interposer):
    """See the module. `refused` counts what was refused, by the rule's name."""

    def __init__(self, rules: Iterable[Rule], image: Callable[[int], str] = image_path) -> None:
        self.rules = tuple(rules)
        self.refused: dict[str, int] = {}
        self._image = image

    @classmethod
    def from_argument(cls, text: str) -> Self:
        if not text:
            raise ValueError("guard wants the path of its rules: guard:RULES.toml")
        return cls(load(Path(text).read_text()))

    def declarations(self) -> Iterable[Handler]:
        """One handler for each rule, so that the kernel tests what the rule says of arguments."""
        (general,) = [h for h in type(self).handlers if h.kind is Kind.CALL]
        for rule in self.rules:
            tests = {test.argument: test.bits for test in _mergeable(rule.tests)}
            yield replace(general, calls=rule.calls, where=argument_tests(tests))

    @on(EVERY)  # narrowed to the calls of the rules by `declarations`
    def judged(self, tracee: Tracee, call: Call) -> Verdict:
        for rule in self.rules:
            if rule.applies(tracee, call, self._image):
                self.refused[rule.name] = self.refused.get(rule.name, 0) + 1
                return Fail(rule.answer)
        return Continue("no rule speaks of it")


def load(text: str) -> list[Rule]:
    """Rules from TOML. ValueError names the rule and what is wrong with it."""
    given = tomllib.loads(text)
    rules = given.pop("rule", [])
    if given or not rules:
        raise ValueError("a file of rules has [[rule]] tables and nothing else")
    return [_rule(entry) for entry in rules]


def _rule(given: dict[str, Any]) -> Rule:
    name = str(given.pop("name", ""))
    calls = tuple(given.pop("calls", ()))
    answer = str(given.pop("answer", "EPERM"))
    where, texts = given.pop("where", {}), given.pop("text", {})
    programs = str(given.pop("programs", ""))
    if not name or not calls:
        raise ValueError(f"a rule has a name and calls: {name or calls!r}")
    if given:
        raise ValueError(f"rule {name!r} says {', '.join(given)}, which is unknown")
    if unknown := [call for call in calls if call not in BY_NAME]:
        raise ValueError(f"rule {name!r}: there is no call {', '.join(unknown)}")
    if not isinstance(getattr(errno, answer, None), int):
        raise ValueError(f"rule {name!r}: {answer} is no errno")
    for call in calls:
        for argument in (*where, *texts):
            _check_argument(name, BY_NAME[call], argument, argument in texts)
    tests = [
        Test(argument, bits)
        for argument, wanted in where.items()
        for bits in _bits(name, argument, wanted)
    ]
    return Rule(name, calls, tuple(tests), tuple(texts.items()), programs, getattr(errno, answer))


def _check_argument(rule: str, call: Syscall, argument: str, text: bool) -> None:
    names = [a.name for a in call.arguments]
    if argument not in names:
        raise ValueError(f"rule {rule!r}: {call.name} has {', '.join(names)}, not {argument}")
    ctype = call.arguments[names.index(argument)].ctype
    if text and "char" not in ctype:
        raise ValueError(f"rule {rule!r}: {argument} of {call.name} is no text but {ctype}")


def _bits(rule: str, argument: str, wanted: Any) -> Iterable[Bits]:
    """The tests of one entry of `where`."""
    if not isinstance(wanted, Mapping):
        yield Bits(ALL_BITS, frozenset({_number(rule, wanted)}))
        return
    for how, operand in wanted.items():
        if how == "one_of" and isinstance(operand, list):
            yield Bits(ALL_BITS, frozenset(_number(rule, one) for one in operand))
            continue
        mask = _number(rule, operand)
        if how == "any_of":
            yield Bits(mask, frozenset({0}), negate=True)
        elif how == "all_of":
            yield Bits(mask, frozenset({mask}))
        elif how == "none_of":
            yield Bits(mask, frozenset({0}))
        else:
            raise ValueError(f"rule {rule!r}: {argument} has no test {how!r}")


def _number(rule: str, text: Any) -> int:
    """A number, or symbols and numbers joined by |."""
    if isinstance(text, int):
        return text
    value = 0
    for word in str(text).split("|"):
        word = word.strip()
        if word in SYMBOLS:
            value |= SYMBOLS[word]
        else:
            try:
                value |= int(word, 0)
            except ValueError:
                raise ValueError(f"rule {rule!r}: {word!r} is no number and no symbol") from None
    return value


def _mergeable(tests: tuple[Test, ...]) -> list[Test]:
    """One test for each argument, for the filter; `applies` holds the others."""
    return list({test.argument: test for test in reversed(tests)}.values())


def _text(tracee: Tracee, call: Call, argument: str) -> str:
    """The string of an argument, a path made absolute; empty for a null pointer."""
    given = call.named()
    if not given[argument]:
        return ""
    text = tracee.cstring(given[argument])
    for base, name in PATH_CALLS.get(call.name, (None, ()))[1]:
        if name == argument and text:
            return tracee.path(given[base] if base else AT_FDCWD, text)
    return os.fsdecode(text)
