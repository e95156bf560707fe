"""A transparent job's processes: PID namespace, pids, groups, signals and their end."""
