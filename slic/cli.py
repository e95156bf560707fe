"""The `slic` command: run, attach, engines, list, bench. Parses, calls one function, prints.

Exit status: the program's own for `run`, 125 when SLIC itself cannot (126 and 127 as shells do).
"""

import argparse
import errno
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol, cast

from slic import __version__
from slic.engine import Capability, Engine, EngineUnavailable, MissingCapability
from slic.interposer import EVERY, Handler
from slic.loading import LoadError, extension_files, load, shipped
from slic.mistakes import mistake
from slic.policy import Policy
from slic.registry import engines, select

FAILED = 125


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script."""
    options = argparse.Namespace()
    try:
        options = _parser().parse_args(argv)
        result: int = options.act(options)
        _end_output()
    except (LoadError, EngineUnavailable, MissingCapability) as error:
        _complain(str(error))
        return FAILED
    except OutputLost as error:
        return _without_output(error.why)
    except (Exception, SystemExit) as error:
        if isinstance(error, _Parsed):
            raise
        # An extension is anybody's code and can raise anything; a mistake of SLIC's own is not in
        # it, and keeps its traceback.
        told = None if getattr(options, "traceback", False) else mistake(error, extension_files)
        if told is None:
            raise
        _complain(told)
        return FAILED
    return result


class OutputLost(Exception):
    """What was to be printed could not be."""

    def __init__(self, why: OSError) -> None:
        super().__init__(str(why))
        self.why = why


def _say(text: str) -> None:
    """Print to standard output (nothing if it was closed when we were started). OutputLost."""
    try:
        print(text)
    except OSError as error:
        raise OutputLost(error) from error


def _end_output() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        raise OutputLost(error) from error


def _complain(text: str, prefix: str = "slic: ") -> None:
    try:
        print(f"{prefix}{text}", file=sys.stderr)
    except OSError:
        return  # the status says it


def _without_output(why: OSError) -> int:
    """End as every tool does: by SIGPIPE if the reader has left, else with a line and a status."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is buffered must not fail once more
    if why.errno == errno.EPIPE:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPIPE})
        os.kill(os.getpid(), signal.SIGPIPE)
    _complain(f"cannot write output: {why.strerror}")
    return FAILED


class _Parsed(SystemExit):
    """Nothing is left to do: help, or a complaint about the arguments, has been printed."""


class _Parser(argparse.ArgumentParser):
    """Ends with 125 where argparse ends with 2: that could be the program's own status."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if message and file is sys.stdout:
            _say(message.rstrip("\n"))
        elif message:
            _complain(message.rstrip("\n"), prefix="")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            self._print_message(message, sys.stderr)
        _end_output()
        raise _Parsed(FAILED if status else 0)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="slic",
        description="Stackable system-call extensions for unmodified programs.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  slic run -i trace -- ls    what strace would show\n"
        "  slic list                  the extensions there are",
    )
    parser.add_argument("--version", action="version", version=f"slic {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run a program under interposers")
    _policy_options(run)
    run.add_argument("command", nargs="+", metavar="CMD")
    run.set_defaults(act=_run)
    attach = commands.add_parser("attach", help="put interposers on a running process tree")
    _policy_options(attach)
    attach.add_argument("pid", type=int, metavar="PID")
    attach.set_defaults(act=_attach)
    commands.add_parser("engines", help="what works on this kernel, and why not").set_defaults(
        act=_engines
    )
    listing = commands.add_parser("list", help="calls x interposers x engines")
    listing.add_argument("-i", dest="interposers", action="append", metavar="NAME[:ARGS]")
    listing.add_argument("--all", action="store_true", help="also those only GLUnix can use")
    listing.add_argument("--markdown", action="store_true", help="as a table for the docs")
    listing.set_defaults(act=_list)
    bench = commands.add_parser("bench", help="costs as ratios to native, in one run")
    bench.add_argument("--calls", type=int, default=4000, metavar="N", help="caught calls a run")
    bench.set_defaults(act=_bench)
    return parser


def _policy_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", "-e", metavar="E", help="this one or an error")
    parser.add_argument(
        "-i",
        dest="interposers",
        action="append",
        metavar="NAME[:ARGS]",
        required=True,
        help="an interposer, first asked first; or PATH.py:CLASS[:ARGS]",
    )
    parser.add_argument(
        "-o", dest="output", metavar="FILE", help="what interposers show goes there"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, one object a line")
    parser.add_argument(
        "--traceback", action="store_true", help="all of a mistake in an extension, not one line"
    )


def _policy(options: argparse.Namespace) -> Policy:
    policy = Policy([load(spec) for spec in options.interposers])
    if options.output is not None or options.json:
        _show_in(policy, options.output, options.json)
    return policy


class _Shows(Protocol):
    """An interposer that shows what programs do, and can be told where and how."""

    def show_in(self, path: str | None, as_json: bool) -> None: ...


def _show_in(policy: Policy, path: str | None, as_json: bool) -> None:
    showing = [i for i in policy.interposers if hasattr(i, "show_in")]
    if not showing:
        raise LoadError("-o and --json are for an interposer that shows something: -i trace")
    for interposer in showing:
        try:
            cast(_Shows, interposer).show_in(path, as_json)
        except OSError as error:
            raise LoadError(f"-o {path}: {error.strerror}") from error


def _run(options: argparse.Namespace) -> int:
    from slic.run import exit_like, run

    policy = _policy(options)
    engine = select(policy, options.engine, showing=True)
    exit_like(run(policy, options.command, engine=engine))


def _attach(options: argparse.Namespace) -> int:
    from slic.engines.ebpf.engine import EbpfEngine
    from slic.engines.ptrace.engine import PtraceEngine
    from slic.run import PlainHost

    policy = _policy(options)
    engine = select(policy, options.engine or PtraceEngine.name)
    if not isinstance(engine, PtraceEngine | EbpfEngine):
        raise EngineUnavailable(f"engine {engine.name} cannot attach: its filter must be inherited")
    host = PlainHost()
    try:
        session = host.session = engine.attach(policy, options.pid, host)
    except OSError as error:
        raise EngineUnavailable(f"cannot attach to {options.pid}: {error.strerror}") from error
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: session.leave())
    with session:
        print(f"slic: attached to {len(session.tasks)} tasks", file=sys.stderr)
        session.serve()
    policy.finished()
    return 0


def _engines(_: argparse.Namespace) -> int:
    from slic.engines.ebpf.engine import EbpfEngine

    for engine in engines().values():
        why = engine.unavailable()
        can = ", ".join(c.name for c in Capability if c in engine.capabilities and c.name)
        _say(f"{engine.name:15} {'works' if why is None else 'no: ' + why}")
        _say(f"{'':15} {can}")
        if isinstance(engine, EbpfEngine):
            for program, refused, _code in engine.programs():
                state = "works" if refused is None else f"no: {refused}: {program.lost}"
                _say(f"{'':15} {program.name} ({program.tracepoint}): {state}")
    return 0


def _list(options: argparse.Namespace) -> int:
    known = list(engines().values())
    rows = [("interposer", "calls", "handler", *(e.name for e in known))]
    if options.interposers:
        chosen = [load(spec) for spec in options.interposers]
        for interposer in chosen:
            rows += [_row(interposer.name, h, known) for h in interposer.declarations()]
    else:
        for name, chosen_class in shipped(options.all).items():
            rows += [_row(name, handler, known) for handler in chosen_class.handlers]
    if options.markdown:
        rows.insert(1, tuple("---" for _ in rows[0]))
        _say("\n".join("| " + " | ".join(row) + " |" for row in rows))
    else:
        _print_columns(rows, shutil.get_terminal_size().columns)
    return 0


CALLS = 1  # the column that is wrapped
LEAST = 24


def _print_columns(rows: Sequence[tuple[str, ...]], columns: int) -> None:
    """Aligned. The calls fill what the others leave of the terminal's width, on several lines, or
    stand in lines of their own where that is too little."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = columns - sum(widths) + widths[CALLS] - 2 * (len(widths) - 1)
    beside = left >= LEAST
    widths[CALLS] = min(widths[CALLS], left) if beside else 0
    for row in rows:
        room = widths[CALLS] if beside else columns - 4
        parts = textwrap.wrap(row[CALLS], room, break_long_words=False, break_on_hyphens=False)
        first = parts.pop(0) if beside else ""
        cells = [first if i == CALLS else cell for i, cell in enumerate(row)]
        pairs = [(c, w) for c, w in zip(cells, widths, strict=True) if w]
        _say("  ".join(cell.ljust(width) for cell, width in pairs).rstrip())
        indent = sum(widths[:CALLS]) + 2 * CALLS if beside else 4
        for part in parts:
            _say(" " * indent + part)


def _row(name: str, handler: Handler, known: Sequence[Engine]) -> tuple[str, ...]:
    """One line of the support table, from the declaration that also makes the filter."""
    calls = "every call" if handler.calls == (EVERY,) else " ".join(handler.calls)
    if handler.events:
        calls = "event " + " ".join(sorted(event.value for event in handler.events))
    elif not handler.calls:
        calls = "signal " + (" ".join(str(s) for s in sorted(handler.signals)) or "any")
    cells = []
    for engine in known:
        able = handler.needs in engine.capabilities
        cells.append("yes" if able else "partly" if handler.optional else "no")
    return (name, calls, f"{handler.kind.value} {handler.method}", *cells)


def _bench(options: argparse.Namespace) -> int:
    from slic.bench import report

    return report(options.calls)


if __name__ == "__main__":
    sys.exit(main())
