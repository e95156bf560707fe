"""GLUnix: a global layer that runs unmodified programs on the nodes of a cluster."""

__version__ = "0.1.0"

import resource
import sys

if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
    # Our user's limit of size (`ulimit -f`) may cut what the interpreter keeps of compiled modules,
    # and it does not notice (until Python 3.12): every later start would fail.
    sys.dont_write_bytecode = True
