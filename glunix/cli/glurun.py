"""`glurun`: run a program on the cluster's nodes (paper 3.2). Parses, then hands to the startup.

The parser is our own: argparse costs 14 ms of a start-up budget of 16 (see ARCHITECTURE.md).
Options end at the first word that is none, as with ssh, srun and env, so the command's own options
need no `--`.
"""

import posix
import sys
import time

from glunix import config
from glunix.errors import GlunixError
from glunix.home.options import Options

USAGE = """\
usage: glurun [OPTION]... COMMAND [ARGUMENT]...
Run COMMAND on the least loaded node of the cluster, as if it ran here.

  -n, --degree=N        run N copies (VNN 0..N-1) on the N least loaded nodes
  -w, --nodes=A,B       only on these nodes
  -x, --exclude=A,B     not on these nodes
      --with=NPID       beside a running job: on the node of each of its processes, same VNNs
  -l, --label[=host]    put the VNN (or the node's name) before each line of output
  -i, --input=FILE      standard input from FILE, at home
  -o, --output=FILE     standard output to FILE, at home
  -e, --error=FILE      standard error to FILE, at home
  -D, --chdir=DIR       working directory on the node (default: the current one)
  -t, --time=TIME       end the job after TIME: seconds, [[HH:]MM:]SS, or 90s, 5m, 2h, 1d
  -T, --transparent     the interposed level: reads, terminal and host name are home's
      --engine=NAME     SLIC engine of a transparent job
      --stage[=A,B]     send COMMAND's file and files A, B along: for nodes that do not have them;
                        the job works in a directory of its own, which is removed afterwards
      --home=PATH       a transparent job finds PATH, and all below it, at home (repeatable)
      --allow-tiocsti   a transparent job may type into your terminal (TIOCSTI), from any node
      --no-migrate      a transparent job is not moved to another node (glumigrate)
      --stats[=json]    of a transparent job: what its calls home cost, on stderr at the end
      --env=torch       RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT as torchrun sets them
      --keep            leave background processes running when COMMAND exits
      --uid=UID         run as this user (refused unless it is you)
  -h, --help            this text
      --version         the version

The exit status is COMMAND's own, 128+N when signal N killed it, the highest of an N-way job;
127 command not found, 126 not executable, 124 time over (-t), and 125 for GLUnix's own failures
(another number: GLUNIX_EXIT_ERROR). The job finds GLUNIX_NPID, GLUNIX_VNN, GLUNIX_DEGREE and
GLUNIX_NODE in its environment.

examples:
  glurun -n 4 -l hostname    on four nodes, each line with its VNN
  glurun -T vim notes.txt    interactive, as if it ran here
"""

_SHORT = {"n": "degree", "w": "nodes", "x": "exclude", "i": "input", "o": "output", "e": "error",
          "D": "chdir", "t": "time", "l": "label", "T": "transparent", "h": "help"}  # fmt: skip
_FLAGS = (
    "label", "transparent", "keep", "stage", "stats", "allow-tiocsti", "no-migrate", "help",
    "version",
)  # fmt: skip
_VALUED = (
    "degree", "nodes", "exclude", "input", "output", "error", "chdir", "time", "engine", "home",
    "uid", "with", "npid-fd", "env",
)  # fmt: skip
_WITH_VALUE = (("label", "host"), ("stats", "json"))
"""The values that flags take, after `=` only."""
_NAME_MAX = 64
"""Characters of a node's name (glunix.ids)."""

_FOR_PROGRAMS = ("npid-fd",)
"""Options of libglunix: the NPID is told there, as a line."""

OPTIONS = tuple(f"-{c}" for c in _SHORT) + tuple(
    f"--{n}" for n in (*_FLAGS, *_VALUED) if n not in _FOR_PROGRAMS
)
"""Every option, for shell completion."""


class UsageError(GlunixError):
    """The command line is wrong."""


def split_words(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Cut a command line into [(option, value)] and the command's own words."""
    found: list[tuple[str, str]] = []
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            name = _whole_name(name)
            _check_long(name, equals, value)
            if name in _VALUED and not equals:
                value = _next(rest, word)
            found.append((name, value))
            continue
        found += _short_options(word, rest)
    return found, rest


def _whole_name(name: str) -> str:
    """The long option that `name` is, or is the unique beginning of (getopt_long(3))."""
    known = (*_FLAGS, *_VALUED)
    if name in known:
        return name
    found = [option for option in known if option.startswith(name)] if name else []
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"option --{name} could be {', '.join(f'--{one}' for one in found)}")
    from glunix.cli.guesses import did_you_mean

    raise UsageError(f"unknown option --{name}{did_you_mean(f'--{name}', OPTIONS)}")


def _check_long(name: str, equals: str, value: str) -> None:
    fits = (name, value) in _WITH_VALUE or (name == "stage" and value)
    if name in _FLAGS and equals and not fits:
        raise UsageError(f"option --{name} takes no such value: {value}")


def _next(rest: list[str], option: str) -> str:
    if not rest:
        raise UsageError(f"option {option} needs a value")
    return rest.pop(0)


def _short_options(word: str, rest: list[str]) -> list[tuple[str, str]]:
    found = []
    for at, letter in enumerate(word[1:], 1):
        name = _SHORT.get(letter)
        if name is None:
            raise UsageError(f"unknown option -{letter}")
        if name in _VALUED:
            found.append((name, word[at + 1 :] or _next(rest, f"-{letter}")))
            break
        found.append((name, ""))
    return found


def _seconds(text: str) -> float:
    from glunix.cli.times import parse_time  # most jobs have no limit

    try:
        return parse_time(text)
    except GlunixError as error:
        raise UsageError(str(error)) from None


def _number(name: str, text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise UsageError(f"--{name} wants a number from {least} to {most}, not {text!r}")
    return int(text)


def _open(option: str, path: str) -> int:
    flags = posix.O_RDONLY if option == "input" else posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC
    try:
        return posix.open(path, flags | posix.O_CLOEXEC | posix.O_NOCTTY, 0o666)
    except OSError as error:
        raise GlunixError(f"{path}: {error.strerror}") from None


def _from_here(path: str) -> str:
    """The node's daemon is elsewhere: what is relative is relative to where the user is."""
    try:
        return path if path.startswith("/") else f"{posix.getcwd().rstrip('/')}/{path}"
    except OSError as error:
        raise GlunixError(f"the current directory is gone: {error.strerror}") from None


def _home_path(path: str) -> bytes:
    import os

    found = os.path.normpath(_from_here(path)) if path else ""
    if not found.strip("/"):
        raise UsageError(f"--home wants a path below the root, not {path!r}")
    if not os.path.lexists(found):
        from glunix.home.report import complain

        complain(f"note: --home={path}: not here (yet): the job may make it", None)
    return b"/" + config.encoded(found.lstrip("/"))


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if not names:
        raise UsageError("an empty list of nodes")
    for name in names:
        if len(name) > _NAME_MAX or not name.isprintable():
            raise UsageError(f"not a node name: {name[:_NAME_MAX]!r}")
    return names


def options_of(found: list[tuple[str, str]], command: list[str]) -> Options:
    """Make Options; opens the files of -i, -o and -e."""
    options = Options([config.encoded(word) for word in command])
    for name, value in found:
        if name == "degree":
            options.degree = _number(name, value, 1, 4096)
        elif name == "nodes":
            options.nodes += _names(value)
        elif name == "exclude":
            options.exclude += _names(value)
        elif name == "label":
            options.label = value or "vnn"
        elif name == "stats":
            options.stats = value or "text"
        elif name in ("input", "output", "error"):
            options.fds[("input", "output", "error").index(name)] = _open(name, value)
        elif name == "chdir":
            options.chdir = config.encoded(_from_here(value))
        elif name == "stage":
            options.stage = [
                *(options.stage or []),
                *(config.encoded(f) for f in value.split(",") if f),
            ]
        elif name == "time":
            options.time_limit = _seconds(value)
        elif name == "engine":
            options.engine = value
        elif name == "home":
            options.home.append(_home_path(value))
        elif name == "with":
            options.beside = _number(name, value, 1, 2**31 - 1)
        elif name == "env":
            if value != "torch":
                raise UsageError(f"--env sets up `torch` only, not {value!r}")
            options.env = value
        elif name == "npid-fd":
            options.npid_fd = _own_descriptor(_number(name, value, 3, 2**20))
        elif name == "uid":
            options.uid = _number(name, value, 0, 2**32 - 2)
        else:
            setattr(options, name.replace("-", "_"), True)
    if options.beside:
        _beside(options, {name for name, _ in found})
    if options.transparent and options.degree != 1:
        raise UsageError("-T runs one process: leave out -n")
    if options.engine and not options.transparent:
        raise UsageError("--engine is for -T: other jobs have no engine")
    if options.home and not options.transparent:
        raise UsageError("--home is for -T: other jobs have no files of home")
    if options.allow_tiocsti and not options.transparent:
        raise UsageError("--allow-tiocsti is for -T: other jobs cannot reach your terminal's input")
    if options.no_migrate and not options.transparent:
        raise UsageError("--no-migrate is for -T: other jobs never move")
    if options.stats and not options.transparent:
        raise UsageError("--stats is for -T: other jobs make no calls home")
    if config.variable("GLUNIX_TIMES"):
        options.times = time.perf_counter()
    return options


def _own_descriptor(fd: int) -> int:
    """Not for our children, nor for the job."""
    try:
        posix.set_inheritable(fd, False)
    except OSError as error:
        raise UsageError(f"--npid-fd={fd}: {error.strerror}") from None
    return fd


def _beside(options: Options, given: set[str]) -> None:
    """--with: as many processes as that job has."""
    other = [name for name in ("degree", "nodes", "exclude") if name in given]
    if other:
        raise UsageError(f"--with says where and how many: leave out --{other[0]}")
    from glunix.api.queue import facts  # few jobs are beside others

    options.degree = facts(options.beside).row.degree


def _fail(line: str) -> int:
    from glunix.home.report import complain

    complain(line, None)
    return config.exit_error()


def _tell(text: str) -> int:
    """Print `text`, or without one the version."""
    from glunix import __version__

    try:
        if sys.stdout is not None:
            sys.stdout.write(text or f"glurun (GLUnix) {__version__}\n")
            sys.stdout.flush()
    except OSError as error:
        posix._exit(_fail(f"cannot write output: {error.strerror}"))  # Python would try again
    return 0


def _hold_closed() -> None:
    """Keep what the user closed of fds 0-2 closed, or our own socket would become one of them.

    A descriptor opened with O_PATH takes the number; read(2) and write(2) on it fail with EBADF.
    """
    for fd in (0, 1, 2):
        try:
            posix.fstat(fd)
        except OSError:
            posix.open("/", posix.O_PATH | posix.O_CLOEXEC)  # the lowest free number, so this one


def main(argv: list[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    _hold_closed()
    try:
        found, command = split_words(sys.argv[1:] if argv is None else argv)
        names = {name for name, _ in found}
        if "help" in names or "version" in names:
            return _tell(USAGE if "help" in names else "")
        if not command:
            raise UsageError("no command given (see glurun --help)")
        options = options_of(found, command)
    except GlunixError as error:
        return _fail(str(error))
    from glunix.home.submit import run

    status = run(options)
    if argv is None:
        # The process ends with its job: taking the interpreter apart costs 3 ms and frees nothing
        # that the kernel does not. Nothing is left in sys.stdout, which only --help uses.
        if sys.stderr is not None:  # the user may have closed it
            sys.stderr.flush()
        posix._exit(status)
    return status
