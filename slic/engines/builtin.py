"""Registers the engines that come with SLIC. Importing it is all it is for."""

from slic.engine import register
from slic.engines.ebpf.engine import EbpfEngine
from slic.engines.ptrace.engine import PtraceEngine, PtraceSeccompEngine
from slic.engines.unotify.engine import NotifyEngine

register(NotifyEngine())
register(PtraceSeccompEngine())
register(PtraceEngine())
register(EbpfEngine())
