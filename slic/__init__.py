"""SLIC: stackable system-call extensions for unmodified programs. Imports nothing of glunix."""

__version__ = "0.1.0"
