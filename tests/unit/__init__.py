"""Pure tests: no loop, no sleep, no sockets."""
