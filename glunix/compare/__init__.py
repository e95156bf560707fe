"""The comparison of both levels with native Linux: `glunix compare`, and what the tests run."""
