"""What the interposed level costs a job at a terminal: a build, a script that forks, a launch.

All contenders run at a terminal, where a transparent job has something to intercept; with
/dev/null as its streams it has not, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .harness import (
    MILLISECONDS,
    NO_TARGET,
    Absent,
    Contender,
    Judged,
    Row,
    Section,
    Target,
    alternate,
)
from .measure import Plan, Stage
from .onpty import timed_on_pty
from .ours import Cluster, cluster
from .peers import Package, need
from .proc import marked, scratch

TITLE = "the interposed level: glurun -T at a terminal"
FILES = 24
LONGER_FILES, FUNCTIONS = 8, 40
CHECKS = 150

_HEADERS = """
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
"""
_SOURCE = """
int part%d(int n) { char text[64]; snprintf(text, sizeof text, "%%d", n); return strlen(text); }
"""
_FUNCTION = """
double part%d(double *of, int n, char *text) {
  double sum = 0;
  for (int i = 0; i < n; i++) {
    sum += sqrt(of[i]) * %d;
    if ((i ^ n) & 3) of[n - i - 1] -= sum;
  }
  return sum + snprintf(text, n, "%%f %%d", sum, n);
}
"""
_MAKEFILE = """
all: $(patsubst %.c,%.o,$(wildcard p*.c))
%.o: %.c
\t@gcc -O2 -c -o $@ $<
"""
_SCRIPT = """
# As configure does it: a test program written, looked at and thrown away, and the result told.
i=0
while [ $i -lt COUNT ]; do
  echo "checking for thing $i... $(uname -s)"
  echo "int thing$i;" >conftest.c
  if grep -q "thing$i" conftest.c && test -n "$(expr $i + 1)"; then
    sed "s/thing/found/" conftest.c >conftest.h
    cat conftest.h >>config.log
  fi
  rm -f conftest.*
  i=$((i + 1))
done
"""


def _build(folder: Path, sources: list[str]) -> list[str]:
    make = need("make", Package("apt", ("make", "gcc")))
    need("gcc", Package("apt", ("make", "gcc")))
    folder.mkdir()
    for number, source in enumerate(sources):
        (folder / f"p{number}.c").write_text(_HEADERS + source)
    (folder / "Makefile").write_text(_MAKEFILE)
    return [make, "-s", "-B", "-j2", "-C", str(folder)]


def _tiny() -> list[str]:
    """Nearly all of whose compilation is reading headers: the worst case."""
    return [_SOURCE % number for number in range(FILES)]


def _longer() -> list[str]:
    """Of 370 lines, as files of C are."""
    text = "".join(_FUNCTION % (number, number + 1) for number in range(FUNCTIONS))
    return [text] * LONGER_FILES


def _configure(folder: Path) -> list[str]:
    (folder / "configure").write_text(_SCRIPT.replace("COUNT", str(CHECKS)))
    return ["/bin/sh", "-c", f"cd {folder} && exec sh ./configure"]


def measure(plan: Plan) -> Section:
    """Rows against native and against the user level."""
    with Stage() as stage:
        ours = stage.enter(cluster(2))
        folder = stage.enter(scratch("work"))
        assert isinstance(folder, Path)
        rows = [
            _against_native("make -j2", _build(folder / "few", _longer()), ours, plan, 1.05),
            _against_native(
                "make -j2 of files of one line", _build(folder / "many", _tiny()), ours, plan, 1.05
            ),
            _against_native("configure-like script", _configure(folder), ours, plan, 1.3),
            _launch(ours, plan),
        ]
    return Section(TITLE, tuple(rows), complaints=stage.complaints)


def _run(ours: Cluster | Absent, argv: list[str], *options: str) -> Contender:
    if isinstance(ours, Absent):
        return ours
    command = ours.command(argv)
    words = [command[0], *options, *command[1:]]
    return lambda: timed_on_pty(words, ours.env)


def _against_native(
    name: str, argv: list[str], ours: Cluster | Absent, plan: Plan, bound: float
) -> Row:
    env = marked()
    native: Callable[[], float] = lambda: timed_on_pty(argv, env)  # noqa: E731
    contenders: dict[str, Contender] = {"ours": _run(ours, argv, "-T"), "native": native}
    got = alternate(contenders, plan.long_rounds, MILLISECONDS)
    target = Target(Judged.RATIO, bound)
    return Row(f"-T {name} / native", got["ours"], got["native"], MILLISECONDS, target)


def _launch(ours: Cluster | Absent, plan: Plan) -> Row:
    contenders = {"ours": _run(ours, ["true"], "-T"), "user": _run(ours, ["true"])}
    got = alternate(contenders, plan.short_rounds, MILLISECONDS, warm_ups=2)
    target = Target(Judged.RATIO, 2.0) if not isinstance(ours, Absent) else NO_TARGET
    return Row("glurun -T true / glurun true", got["ours"], got["user"], MILLISECONDS, target)
