"""The master process: effects of state.master become sockets, files and timers."""
