"""Programs that check themselves, one behaviour a file, and what runs and compares them."""
