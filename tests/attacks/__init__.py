"""Attacks, one file a class: each reaches for what it must not get, and sees that it does not."""
