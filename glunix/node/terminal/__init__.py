"""The stand-in terminal: its name under /dev/pts, and home's modes as last reported."""
