"""Kernel bindings only, no decisions: ptrace, seccomp, memory, namespaces, pidfd, pty."""
