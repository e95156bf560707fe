"""What the interposers that `-i` offers share; nothing here has a form of its own."""
