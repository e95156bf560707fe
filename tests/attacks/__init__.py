"""Attacks: what one user, or a node that lies, tries against the others."""
