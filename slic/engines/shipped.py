"""Registers the engines that come with SLIC. Importing it is all it is for."""

from slic.engine import register
from slic.engines.ebpf import EbpfEngine
from slic.engines.ptrace import PtraceEngine, PtraceSeccompEngine
from slic.engines.unotify import NotifyEngine

register(NotifyEngine())
register(PtraceSeccompEngine())
register(PtraceEngine())
register(EbpfEngine())
