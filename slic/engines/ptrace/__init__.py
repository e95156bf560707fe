"""The ptrace engines: `ptrace` and `ptrace-seccomp`."""
