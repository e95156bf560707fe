"""Registers the engines that come with SLIC. Importing it is all it is for."""
