"""The engines that come with SLIC: one of each, for slic.registry."""

from slic.engine import Engine
from slic.engines.ebpf.engine import EbpfEngine
from slic.engines.ptrace.engine import PtraceEngine, PtraceSeccompEngine
from slic.engines.unotify.engine import NotifyEngine

ENGINES: tuple[Engine, ...] = (
    NotifyEngine(),
    PtraceSeccompEngine(),
    PtraceEngine(),
    EbpfEngine(),
)
