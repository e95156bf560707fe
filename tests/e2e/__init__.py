"""End to end: real processes on an embedded cluster, terminals driven by pexpect."""
