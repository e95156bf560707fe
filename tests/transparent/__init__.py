"""`glurun --transparent` against native Linux: the same lines, the same keys, the same screens."""
