"""Moving real programs: guests that check themselves, and what runs, moves and judges them."""
