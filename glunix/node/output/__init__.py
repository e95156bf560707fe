"""What a program writes, on its way home within credit."""
