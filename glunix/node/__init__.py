"""Beside the job on its execution node: spawning, streams, supervisor, bridge to home."""
