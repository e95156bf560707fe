"""Interposers: policies that answer system calls, one a file, engine-independent."""
