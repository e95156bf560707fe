"""Tests over several machines, and the kinds of machine they can have."""
