"""Descriptors of home that a transparent job inherits, and open file descriptions."""
