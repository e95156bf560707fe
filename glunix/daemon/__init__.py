"""The daemon process of a node: effects of state.daemon become processes and sockets."""
