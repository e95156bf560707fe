"""Home's half of batch jobs: a process of each user's that keeps his jobs' output (paper 8.2)."""
