"""What the user asked of glurun, as plain values; made by glunix.cli.glurun or by a test."""

import posix

PLENTY = 256
"""As many descriptors as most processes have open at most."""


class Options:
    """Defaults are those of `glurun CMD`. Paths and argv are raw bytes."""

    __slots__ = (
        "allow_tiocsti",
        "argv",
        "beside",
        "chdir",
        "degree",
        "engine",
        "env",
        "exclude",
        "fds",
        "home",
        "keep",
        "label",
        "no_migrate",
        "nodes",
        "npid_fd",
        "stage",
        "stats",
        "time_limit",
        "times",
        "transparent",
        "uid",
    )

    def __init__(self, argv: list[bytes]) -> None:
        self.allow_tiocsti = False
        """A transparent job may type into the home terminal (ioctl_tty(2), TIOCSTI)."""
        self.argv = argv
        self.beside = 0
        """NPID of a job: one process on the node of each of its processes, with its VNN."""
        self.chdir: bytes | None = None
        self.degree = 1
        self.engine = ""
        self.env = ""
        """"torch": variables as torchrun sets them; "": none."""
        self.exclude: list[str] = []
        self.fds = {0: 0, 1: 1, 2: 2}
        """Job descriptor -> home descriptor (-i, -o and -e open files)."""
        self.home: list[bytes] = []
        """Paths that a transparent job finds at home: absolute, normal."""
        self.keep = False
        self.label = ""
        """"": none, "vnn" or "host": what is put before each line of output."""
        self.no_migrate = False
        """A transparent job is not to be moved to another node (glumigrate)."""
        self.nodes: list[str] = []
        self.npid_fd = -1
        """Descriptor on which the NPID is told, as a line (libglunix); -1: none."""
        self.stage: list[bytes] | None = None
        """Files at home that go along with the program; None: nothing is sent."""
        self.stats = ""
        """Transparent: "text" or "json": the job's bill on stderr at the end; "": none."""
        self.time_limit: float | None = None
        """Seconds after which the job gets SIGTERM, then SIGKILL."""
        self.times = 0.0
        """time.perf_counter() before the startup was imported, to tell where the time goes; 0: do
        not tell."""
        self.transparent = False
        self.uid: int | None = None


def is_open(fd: int) -> bool:
    """Whether the user gave us this descriptor (one closed is held by O_PATH, see cli.glurun)."""
    from fcntl import F_GETFL, fcntl  # only transparent jobs ask

    try:
        return not fcntl(fd, F_GETFL) & posix.O_PATH
    except OSError:
        return False


def open_numbers() -> list[int]:
    """Of our descriptors; without a /proc, of those that most have."""
    try:
        return sorted(int(name) for name in posix.listdir("/proc/self/fd"))
    except OSError:
        return [number for number in range(PLENTY) if _is_number(number)]


def _is_number(fd: int) -> bool:
    try:
        posix.fstat(fd)
    except OSError:
        return False
    return True
