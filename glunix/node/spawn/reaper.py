"""The reaper in C (reaper.c): starts a program and reaps what it leaves. Without gcc there is none.

Imports no library, as what is built must be known where nothing of ours is installed.
"""

import os

from slic.kernel.compiled import NO_LIBC, Compiled

REAPER = Compiled((os.path.join(os.path.dirname(__file__), "reaper.c"),), NO_LIBC)
