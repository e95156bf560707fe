"""Engines: mechanisms that catch system calls. The contract is in slic.engine."""
