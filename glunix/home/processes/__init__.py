"""Shadows of a transparent job's processes, and the fork server that makes them."""
