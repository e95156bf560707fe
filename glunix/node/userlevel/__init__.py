"""User-level jobs: their processes, session leaders, and one end of their stream."""
