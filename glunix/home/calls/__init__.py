"""Home's half of forwarded calls: on files, sockets, paths and memory."""
