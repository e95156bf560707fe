"""Where BPF is refused: each reason is said by name, in the kernel's words, and none assumed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ebpf_helpers import needs_bpf

from slic.ebpf import loader, objects
from slic.kernel import libbpf
from slic.kernel.libbpf import reason

ROOT = Path(__file__).resolve().parents[2]
SETTING = Path("/proc/sys/kernel/unprivileged_bpf_disabled")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
USER = 20_014


def words_of(code: str, *prefix: str) -> str:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ENGINES = "from slic.registry import engines; print(engines()['ebpf'].unavailable())"


@needs_bpf
@needs_root
def test_without_privilege() -> None:
    drop = f"import os; os.setgroups([]); os.setgid({USER}); os.setuid({USER})\n"
    told = words_of(f"from slic.registry import engines; engines()\n{drop}{ENGINES}")
    assert "Operation not permitted" in told
    assert "needs CAP_BPF and CAP_PERFMON, or root" in told
    if SETTING.read_text().strip() != "0":
        assert f"kernel.unprivileged_bpf_disabled is {SETTING.read_text().strip()}" in told


@needs_bpf
@needs_root
def test_without_privilege_each_program_is_tried() -> None:
    drop = f"import os; os.setgroups([]); os.setgid({USER}); os.setuid({USER})\n"
    code = "from slic.ebpf import loader\nprint(*(f.refused for f in loader.probe()), sep='\\n')"
    lines = words_of(f"import slic.ebpf.loader\n{drop}{code}").splitlines()
    assert len(lines) == len(loader.PROGRAMS) and all("CAP_BPF" in line for line in lines)


@needs_bpf
@needs_root
def test_without_btf() -> None:
    """As on a kernel without it: nothing stands where it would."""
    hide = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/kernel && exec "$@"', "sh")
    assert words_of(ENGINES, *hide) == "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)"


def test_without_bpf_or_libbpf_or_an_object(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    features = {str(tmp_path / "no"): "the kernel has no such thing"}
    monkeypatch.setattr(loader, "_FEATURES", features)
    assert loader.blocked() == "the kernel has no such thing"
    monkeypatch.setattr(loader, "_FEATURES", {})
    with monkeypatch.context() as patched:
        patched.setattr(libbpf, "LIBRARY", "libnothing.so.1")
        libbpf.library.cache_clear()
        assert loader.blocked() == "libnothing.so.1 is missing (Debian: libbpf1)"
    libbpf.library.cache_clear()
    if "libbpf1" in (loader.blocked() or ""):
        pytest.skip("libbpf is missing (Debian: libbpf1)")
    monkeypatch.setattr(objects.OBJECT, "built", lambda *folders: None)
    monkeypatch.setattr(objects.OBJECT, "build", lambda *folders: None)
    assert loader.blocked() == objects.MISSING
    assert {finding.refused for finding in loader.probe()} == {objects.MISSING}


@needs_bpf
def test_the_verifiers_last_words(tmp_path: Path) -> None:
    if shutil.which("clang") is None:
        pytest.skip("clang is missing (Debian: clang)")
    source = tmp_path / "bad.bpf.c"
    source.write_text(
        f'#include "{ROOT}/slic/ebpf/kernel.bpf.h"\n'
        'SEC("tp_btf/sched_process_exit") int bad(u64 *ctx) { return *(int *)(long)ctx[9]; }\n'
        'SEC("tp_btf/sched_process_exit") int good(u64 *ctx) { return 0; }\n'
        'SEC("tp_btf/no_such_tracepoint") int absent(u64 *ctx) { return 0; }\n'
    )
    out = str(tmp_path / "bad.bpf.o")
    subprocess.run(["clang", *objects.FLAGS, "-o", out, str(source)], check=True)
    for name, expected in (
        ("bad", r"load: (Permission denied|Invalid argument): .*access"),
        ("absent", r"load: No such process: .*no_such_tracepoint"),
    ):
        with libbpf.Object(out) as one:
            one.choose([name])
            with pytest.raises(OSError, match=expected):
                one.load()
    with libbpf.Object(out) as one:
        one.choose(["good"])
        one.load()
        one.attach("good")


def test_the_reason_is_the_last_of_the_verifiers_words() -> None:
    said = [
        "libbpf: prog 'on_fork': BPF program load failed: Permission denied",
        "libbpf: prog 'on_fork': -- BEGIN PROG LOAD LOG --",
        "0: R1=ctx() R10=fp0",
        "R1 invalid mem access 'scalar'",
        "processed 2 insns (limit 1000000) max_states_per_insn 0",
        "-- END PROG LOAD LOG --",
        "libbpf: failed to load object 'watch.bpf.o'",
    ]
    assert reason(13, "load", said) == "load: Permission denied: R1 invalid mem access 'scalar'"
    assert reason(1, "load", []) == "load: Operation not permitted"
    assert reason(2, "load", said[-1:]) == "load: No such file or directory"


@pytest.mark.parametrize(
    ("lockdown", "disabled", "held", "expected"),
    [
        ("none integrity [confidentiality]", "0", -1, "lockdown is confidentiality"),
        ("none [integrity] confidentiality", "0", -1, None),
        ("", "2", 0, "kernel.unprivileged_bpf_disabled is 2"),
        ("", "0", 0, "needs CAP_BPF and CAP_PERFMON"),
    ],
)
def test_settings_are_named_where_they_are_the_cause(
    monkeypatch: pytest.MonkeyPatch, lockdown: str, disabled: str, held: int, expected: str | None
) -> None:
    settings = {"lockdown": lockdown, "unprivileged_bpf_disabled": disabled}
    monkeypatch.setattr(loader, "_setting", lambda path: settings[path.rpartition("/")[2]])
    monkeypatch.setattr(loader, "_capabilities", lambda: held)
    told = loader.explained(PermissionError(1, "Operation not permitted"))
    assert told.startswith("Operation not permitted")
    assert expected in told if expected else told == "Operation not permitted"
    assert loader.explained(OSError(22, "no")) == "no"
