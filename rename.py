#!/usr/bin/env python3
"""The words of issue 11, section 3: renames identifiers in a tree that has the rooms already.

    python3 rename.py [ROOT]      (default: .)

Token by token, so no text of a message changes. Names that are imported are renamed where their
module defines them and where they are imported from it; names of attributes and variables in the
files listed with them; words of the old vocabulary in docstrings and comments of those files.
Running it twice changes nothing more. Wire tags, messages, options and file names stay.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

# -- what modules define: (module, old, new) -------------------------------------------------------

DEFINED: list[tuple[str, str, str]] = [
    ("glunix.home.processes.root_signals", "Ear", "RootSignals"),
    ("glunix.home.processes.forkserver", "Nursery", "ForkServer"),
    ("glunix.home.processes.root_shadow", "Half", "HomeHalf"),
    ("glunix.home.processes.root_shadow", "divide", "split_startup"),
    ("glunix.home.processes.outbound_signals", "Outward", "OutboundSignals"),
    ("glunix.home.calls.dispatch", "Asked", "CallDispatch"),
    ("glunix.home.input.prefetch", "Ahead", "InputPrefetch"),
    ("glunix.home.input.prefetch", "SocketAhead", "SocketPrefetch"),
    ("glunix.home.input.prefetch", "PipeAhead", "PipePrefetch"),
    ("glunix.home.descriptors.forwarded", "Held", "Forwarded"),
    ("glunix.home.descriptors.forwarded", "can_be_held", "can_be_forwarded"),
    ("glunix.home.descriptors.inherited", "is_careful", "needs_checked_writes"),
    ("glunix.home.callstats", "Stats", "CallStats"),
    ("glunix.node.processes.agent", "Clerk", "NamespaceAgent"),
    ("glunix.node.processes.agent", "ClerkGone", "AgentGone"),
    ("glunix.node.processes.agent_process", "Inside", "AgentProcess"),
    ("glunix.node.processes.outbound_signals", "Heralds", "OutboundSignals"),
    ("glunix.node.processes.outbound_signals", "herald", "signal_proxy"),
    ("glunix.node.processes.groups", "Moves", "JobGroups"),
    ("glunix.node.processes.group_membership", "Whereabouts", "GroupMembership"),
    ("glunix.node.processes.pid_allocator", "Numbers", "PidAllocator"),
    ("glunix.node.processes.pid_allocator", "ROW", "BLOCK"),
    ("glunix.node.processes.pid_allocator", "LONGEST_ROW", "LONGEST_BLOCK"),
    ("glunix.node.output.write_budget", "Rooms", "WriteBudget"),
    ("glunix.node.calls.reads", "Asks", "ForwardedReads"),
    ("glunix.node.calls.router", "Questions", "CallRouter"),
    ("glunix.node.calls.stats", "Bill", "CallStats"),
    ("glunix.node.input.feeds", "End", "Feed"),
    ("glunix.node.input.feeds", "PipeEnd", "PipeFeed"),
    ("glunix.node.input.feeds", "SocketEnd", "SocketFeed"),
    ("glunix.node.input.prefetched", "FedInput", "PrefetchedInput"),
    ("glunix.node.input.prefetched", "MakeEnd", "MakeFeed"),
    ("glunix.daemon.stream_relay", "Join", "StreamRelay"),
    ("glunix.daemon.client_limits", "Shares", "ClientLimits"),
    ("glunix.daemon.transparent_job", "SupervisedJob", "TransparentJob"),
    ("glunix.comm.rate_limit", "Turnstile", "RateLimit"),
    ("glunix.state.core", "Books", "MasterCore"),
    ("slic.interposers.home.forks", "Numbers", "PidSource"),
]

# -- attributes, parameters and variables: (files, {old: new}) --------------------------------------

H, N = "glunix/home/", "glunix/node/"
WITHIN: list[tuple[tuple[str, ...], dict[str, str]]] = [
    (
        (H + "processes/*.py", H + "transparent.py", H + "startup.py", H + "submit.py"),
        {
            "nursery": "fork_server",
            "nurseries": "fork_servers",
            "_nurseries": "_fork_servers",
            "ear": "root_signals",
        },
    ),
    (
        (
            H + "processes/root_shadow.py",
            H + "startup.py",
            "tests/unit/home/processes/test_root_shadow.py",
        ),
        {"was_freed": "take_freed", "newly_stopped": "take_newly_stopped"},
    ),
    (
        (H + "outputs.py", H + "startup.py", H + "transparent.py", H + "calls/*.py"),
        {"untold": "take_error"},
    ),
    ((H + "outputs.py", H + "sinks.py", H + "startup.py"), {"held": "blocked_by_tostop"}),
    ((H + "calls/dispatch.py", H + "direct.py", "glunix/comm/link.py"), {"_held": "_deferred"}),
    ((H + "direct.py",), {"_send_held": "_send_deferred"}),
    ((H + "transparent.py",), {"_held": "_forwarded"}),
    ((N + "calls/router.py",), {"_held": "_deferred"}),
    ((N + "calls/*.py", N + "supervisor.py"), {"ask_held": "ask_deferred"}),
    (
        (H + "transparent.py",),
        {"_ahead": "_prefetch"},
    ),
    ((H + "startup.py",), {"_asked": "_dispatch"}),
    (
        ("glunix/daemon/*.py", "glunix/master/*.py", "glunix/comm/*.py"),
        {"turnstile": "rate_limit", "_turnstile": "_rate_limit"},
    ),
    (
        (N + "processes/*.py",),
        {"clerk": "agent", "_clerk": "_agent", "_clerk_is_there": "_agent_is_there"},
    ),
    (
        (
            N + "processes/namespace.py",
            N + "processes/namespace_build.py",
            N + "processes/namespace_plan.py",
            N + "processes/outbound_signals.py",
            N + "supervisor.py",
            "tests/unit/node/processes/*.py",
            "tests/attacks/test_killed_helper.py",
        ),
        {
            "herald": "signal_proxy",
            "_herald": "_signal_proxy",
            "heralds": "outbound",
            "_heralds": "_outbound",
            "HERALD": "SIGNAL_PROXY",
        },
    ),
    (
        (N + "processes/pid_allocator.py",),
        {"_row": "_block", "_rows": "_blocks"},
    ),
    (
        (N + "supervisor.py", N + "calls/router.py", N + "calls/files.py", N + "migration/*.py"),
        {
            "_asks": "_reads",
            "_moves": "_groups",
            "_questions": "_router",
            "_bill": "_stats",
            "_rooms": "_budget",
            "asks": "reads",
            "moves": "groups",
            "bill": "stats",
            "rooms": "budget",
        },
    ),
    (
        (N + "supervisor.py", N + "interposition.py", N + "migration/migrating.py"),
        {"_numbers": "_pids"},
    ),
    ((N + "interposition.py",), {"numbers": "pids"}),
    (
        ("glunix/daemon/transparent_job.py", "tests/unit/daemon/test_transparent_job.py"),
        {"_fed": "_prefetched", "fed": "prefetched"},
    ),
    ((N + "input/*.py",), {"fed": "prefetched"}),
    (
        ("glunix/daemon/clients.py", "tests/unit/daemon/test_client_limits.py"),
        {"_shares": "_limits", "shares": "limits"},
    ),
    (
        ("glunix/state/*.py", "glunix/master/*.py", "tests/unit/state/*.py", "tests/scenario/*.py"),
        {"books": "core", "_books": "_core"},
    ),
    (
        (
            "glunix/state/pdb.py",
            "glunix/state/rexec.py",
            "glunix/state/feeder.py",
            "glunix/master/server.py",
        ),
        {"held": "processes_by_uid"},
    ),
    (("slic/engines/ptrace/*.py",), {"held": "deferred"}),
    (
        (
            "glunix/msg/job.py",
            H + "jobspec.py",
            H + "outputs.py",
            H + "startup.py",
            H + "submit.py",
            N + "interposition.py",
        ),
        {
            "careful": "checked_writes",
            "_careful": "_checked_writes",
            "_is_careful": "_needs_checked_writes",
        },
    ),
]

# -- words of docstrings and comments: (files, {old: new}) -------------------------------------------

WORDS: list[tuple[tuple[str, ...], dict[str, str]]] = [
    (
        (
            H + "**/*.py", N + "**/*.py", "glunix/msg/*.py", "glunix/cluster/*.py", H + "**/*.[ch]",
            "slic/interposers/home/*.py", "docs/*.md", "ARCHITECTURE.md",
        ),
        {
            r"nurseries": "fork servers",
            r"nursery": "fork server",
            r"Nursery": "Fork server",
            r"clerk": "agent",
            r"Clerk": "Agent",
            r"heralds": "signal proxies",
            r"herald": "signal proxy",
            r"JobSpec\.careful": "JobSpec.checked_writes",
        },
    ),
]  # fmt: skip


def _globbed(root: Path, patterns: tuple[str, ...]) -> list[Path]:
    found = {path for pattern in patterns for path in root.glob(pattern)}
    return sorted(path for path in found if path.is_file() and ".venv" not in path.parts)


def _module(root: Path, path: Path) -> str:
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _imported(tree: ast.AST) -> dict[str, tuple[str, str]]:
    """Local name -> (module, name there), for names imported without another name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                if alias.asname is None:
                    found[alias.name] = (node.module or "", alias.name)
    return found


class Edits:
    """Changes of one file, token by token."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        self._edits: list[tuple[tuple[int, int], tuple[int, int], str]] = []

    def names(self, table: dict[str, str], attributes: bool) -> None:
        """`attributes`: also after a dot, and as keyword arguments."""
        depth = 0
        for at, token in enumerate(self._tokens):
            if token.type == tokenize.OP:
                depth += (token.string in "([{") - (token.string in ")]}")
            if token.type == tokenize.STRING and not attributes and at:
                self._annotation(token, table, self._tokens[at - 1].string)
            if token.type == tokenize.STRING and re.match(r"(?i)r?f", token.string):
                self._fstring(token, table, attributes)
            if token.type != tokenize.NAME or token.string not in table:
                continue
            after_dot = at > 0 and self._tokens[at - 1].string == "."
            if after_dot and not attributes:
                continue
            self._edits.append((token.start, token.end, table[token.string]))

    def _annotation(self, token: tokenize.TokenInfo, table: dict[str, str], before: str) -> None:
        """A type in quotes."""
        if before in (":", "->") and re.fullmatch(r"[\"'][\w\[\], |.]+[\"']", token.string):
            changed = re.sub(r"\w+", lambda m: table.get(m[0], m[0]), token.string)
            if changed != token.string:
                self._edits.append((token.start, token.end, changed))

    def _fstring(
        self, token: tokenize.TokenInfo, table: dict[str, str], attributes: bool
    ) -> None:
        before = r"(?<!\w)" if attributes else r"(?<![\w.])"
        words = re.compile(rf"{before}({'|'.join(map(re.escape, table))})(?!\w)")
        inside, depth, at, text = set(), 0, 0, token.string
        while at < len(text):  # which characters are code
            if text[at : at + 2] in ("{{", "}}") and not depth:
                at += 2
                continue
            depth += (text[at] == "{") - (text[at] == "}" and depth > 0)
            if depth:
                inside.add(at)
            at += 1
        changed = words.sub(lambda m: table[m[1]] if m.start() in inside else m[1], text)
        if changed != token.string:
            self._edits.append((token.start, token.end, changed))

    def words(self, table: dict[str, str]) -> None:
        """In comments and in strings that are statements of their own (docstrings)."""
        pattern = re.compile(rf"(?<![\w/.`-])(?:{'|'.join(table)})(?![\w/]|\.(?:py|c|h)\b)")
        for at, token in enumerate(self._tokens):
            plain = token.type == tokenize.COMMENT or (
                token.type == tokenize.STRING and self._is_statement(at)
            )
            if plain:
                changed = _worded(pattern, table, token.string)
                if changed != token.string:
                    self._edits.append((token.start, token.end, changed))

    def _is_statement(self, at: int) -> bool:
        skipped = (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT)
        before = at - 1
        while before >= 0 and self._tokens[before].type in skipped:
            before -= 1
        starts = before < 0 or self._tokens[before].type in (tokenize.NEWLINE, tokenize.ENCODING)
        return starts or self._tokens[before].string == ":"

    def done(self) -> str:
        lines = self.text.splitlines(keepends=True)
        for (row, start), (end_row, end), word in sorted(set(self._edits), reverse=True):
            first, last = lines[row - 1], lines[end_row - 1]
            lines[row - 1 : end_row] = [first[:start] + word + last[end:]]
            if row != end_row:  # a docstring of several lines: split again, so that rows stay
                joined = lines[row - 1].splitlines(keepends=True)
                lines[row - 1 : row] = joined
        return "".join(lines)


def _worded(pattern: re.Pattern[str], table: dict[str, str], text: str) -> str:
    def change(match: re.Match[str]) -> str:
        for old, new in table.items():
            if re.fullmatch(old, match[0]):
                return new
        return match[0]

    text = pattern.sub(change, text)
    return text.replace("an fork server", "a fork server").replace("a agent", "an agent")


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    assert (root / "glunix" / "home" / "processes").is_dir(), f"{root} has no rooms yet"
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    python = [root / name for name in sorted(set(listed)) if name.endswith(".py")]
    defined = {(module, old): new for module, old, new in DEFINED}
    within: dict[Path, dict[str, str]] = {}
    for patterns, table in WITHIN:
        for path in _globbed(root, patterns):
            within.setdefault(path, {}).update(table)
    worded: dict[Path, dict[str, str]] = {}
    for patterns, table in WORDS:
        for path in _globbed(root, patterns):
            worded.setdefault(path, {}).update(table)
    dotted = {f"{module}.{old}": f"{module}.{new}" for module, old, new in DEFINED}
    dotted_re = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, dotted))})(?!\w)")

    def pass_of(path: Path, text: str, step: int) -> str:
        edits = Edits(text)
        module = _module(root, path)
        if step == 0:
            tree = ast.parse(text)
            table = {old: new for (where, old), new in defined.items() if where == module}
            for local, source in _imported(tree).items():
                if source in defined:
                    table[local] = defined[source]
            if table:
                edits.names(table, attributes=False)
        elif step == 1 and path in within:
            edits.names(within[path], attributes=True)
        elif step == 2 and path in worded:
            edits.words(worded[path])
        return edits.done()

    for path in python:
        if not path.is_file():
            continue
        text = path.read_text()
        changed = text
        for step in range(3):
            changed = pass_of(path, changed, step)
        changed = dotted_re.sub(lambda match: dotted[match[0]], changed)
        if changed != text:
            path.write_text(changed)
    for path, table in worded.items():
        if path.suffix in (".md", ".c", ".h"):
            pattern = re.compile(rf"(?<![\w/.`-])(?:{'|'.join(table)})(?![\w/]|\.(?:py|c|h)\b)")
            text = path.read_text()
            if path.suffix == ".md":
                changed = _worded(pattern, table, text)
            else:  # an identifier, but in comments
                parts = re.split(r"(/\*.*?\*/)", text, flags=re.DOTALL)
                changed = "".join(
                    _worded(pattern, table, part)
                    if at % 2
                    else re.sub(r"\bnursery\b", "fork_server", part)
                    for at, part in enumerate(parts)
                )
            if changed != text:
                path.write_text(changed)
    plan = root / "tests/unit/node/processes/test_namespace_plan.py"
    if plan.exists():  # names of arguments in a string
        plan.write_text(plan.read_text().replace('("home", "herald")', '("home", "signal_proxy")'))
    places = [root / ".venv/bin/ruff"]
    tool = str(next(place for place in places if place.exists()))
    subprocess.run([tool, "check", "-q", "--select", "I", "--fix", "."], cwd=root, check=True)
    subprocess.run([tool, "format", "-q", "."], cwd=root, check=True)
    subprocess.run(["git", "-C", str(root), "add", "-A"], check=True)


main()
