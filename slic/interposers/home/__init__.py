"""GLUnix's own policy: calls that are answered by the home node."""
