"""Standard input that is prefetched from home, and the stand-ins that it is fed to."""
