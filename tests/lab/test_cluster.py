"""GLUnix on machines with kernels of their own: installed from a wheel, joined, used."""

from __future__ import annotations

import json
import re

import pytest

from lab.asking import ann, done, need, states
from lab.machines import DEADLINE, Ability, Lab, Machine

pytestmark = pytest.mark.vm


@pytest.mark.short_vm
def test_installed_from_the_wheel(cluster: Lab) -> None:
    need(cluster, Ability.INSTALL)
    said = {done(machine.run(["glunix", "version"])) for machine in cluster.machines.values()}
    assert len(said) == 1 and said.pop().startswith("glunix 0.")


@pytest.mark.short_vm
def test_everybody_joined(cluster: Lab, home: Machine) -> None:
    assert states(home) == dict.fromkeys(cluster.machines, "up")
    rows = json.loads(done(home.run(["glunix", "members", "--json"])))
    assert {row["name"] for row in rows if row["connected"]} == set(cluster.machines)


@pytest.mark.short_vm
def test_both_levels(home: Machine) -> None:
    """Status, both outputs, input, and which machine a program believes to be on."""
    for level in ([], ["-T"]):
        glurun = ["glurun", *level, "-w", "node2"]
        result = ann(home, *glurun, "sh", "-c", "echo out; echo err >&2; exit 3")
        assert (result.status, result.out, result.err) == (3, b"out\n", b"err\n")
        assert done(ann(home, *glurun, "wc", "-c", stdin=b"x" * 100_000)).strip() == "100000"
        assert done(ann(home, *glurun, "hostname")) == ("home" if level else "node2")
        assert done(ann(home, *glurun, "id", "-u")) == done(ann(home, "id", "-u"))
    lines = done(ann(home, "glurun", "-n", "3", "-l", "hostname")).splitlines()
    assert sorted(line.partition(": ")[2] for line in lines) == ["home", "node1", "node2"]


def test_input_stays_home(home: Machine) -> None:
    line = "printf 'a\\nb\\n' | { glurun -T -w node1 sh -c 'read x; echo got $x'; cat; }"
    assert done(ann(home, "sh", "-c", line)) == "got a\nb"


MAKEFILE = """
parts := $(patsubst %.c,%.o,$(wildcard part*.c))
sum: $(parts)
\tglurun -T gcc -o $@ $^
%.o: %.c
\tglurun -T gcc -c -o $@ $<
"""


def test_build_over_nfs(cluster: Lab, home: Machine) -> None:
    """make -j at home, the compilers on the nodes, sources and objects in home's files."""
    need(cluster, Ability.NFS)
    lines = [f"int f{n}(void) {{ return {n}; }}" for n in range(1, 5)]
    total = " + ".join(f"f{n}()" for n in range(1, 5))
    heads = " ".join(f"int f{n}(void);" for n in range(1, 5))
    lines.append(f'#include <stdio.h>\n{heads} int main(void) {{ printf("%d\\n", {total}); }}')
    done(ann(home, "sh", "-c", "rm -rf build && mkdir build"))
    for number, text in enumerate(lines):
        file = f"build/part{number}.c"
        done(ann(home, "sh", "-c", f"cat >{file}", stdin=f"{text}\n".encode()))
    done(ann(home, "sh", "-c", "cat >build/Makefile", stdin=MAKEFILE.encode()))
    done(home.run(["make", "--no-print-directory", "-C", "build", "-j3"], user="ann", timeout=180))
    assert done(ann(home, "build/sum")) == "10"
    assert done(ann(home, "glurun", "-w", "node1", "build/sum")) == "10"


PYTHON = "/usr/bin/python3"  # Debian's: GLUnix's own has no BCC
COUNT = """
import os
from bcc import BPF
text = "BPF_ARRAY(n, u64, 1); TRACEPOINT_PROBE(syscalls, sys_enter_getppid)"
counted = BPF(text=text + " { n.increment(0); return 0; }")
for _ in range(7):
    os.getppid()
print(counted["n"][0].value)
"""
MOVE = """
mkdir /run/images && cd /run/images
setsid sleep 3210 </dev/null >/dev/null 2>&1 &
pid=$!
until [ "$(cat /proc/$pid/comm)" = sleep ]; do :; done
criu dump --tree $pid --images-dir . && ! kill -0 $pid 2>/dev/null &&
    criu restore --restore-detached --images-dir . && kill $pid && rm -r /run/images
"""


def test_tools_of_the_box(cluster: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """BCC and CRIU work with this kernel; their versions go into the report."""
    need(cluster, Ability.BOX)
    for machine in cluster.machines.values():
        criu = done(machine.run(["criu", "--version"]))
        assert re.match(r"Version: \d", criu)
        bcc = done(machine.run([PYTHON, "-c", "import bcc; print(bcc.__version__)"]))
        kernel = done(machine.run(["uname", "-r"]))
        with capsys.disabled():
            print(f"\n{machine.name}: Linux {kernel}, BCC {bcc}, CRIU {criu.split()[1]}")
    node = cluster.machines["node1"]
    assert "Looks good" in done(node.run(["criu", "check"]))
    done(node.run(["sh", "-c", MOVE]))
    counted = done(node.run([PYTHON, "-c", COUNT], timeout=3 * DEADLINE))
    assert int(counted) >= 7
