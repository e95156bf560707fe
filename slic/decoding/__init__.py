"""Calls as text, in the notation of strace: names of flags, strings, structures, results."""
