"""GLUnix: a global layer that runs unmodified programs on the nodes of a cluster."""

__version__ = "0.1.0"
