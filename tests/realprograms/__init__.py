"""Real programs, prepared and run natively or wrapped, with outputs that can be compared."""
