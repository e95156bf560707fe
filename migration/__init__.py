"""Checkpointing and moving running jobs. Imports slic.kernel, never glunix."""
