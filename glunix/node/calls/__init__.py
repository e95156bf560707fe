"""The node's half of forwarded calls: which question goes home, when, and its answer."""
