"""Beside the user's terminal: the startup and the home's half of every forwarded call."""
