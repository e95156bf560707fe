"""The `unotify` engine: seccomp user notification."""
