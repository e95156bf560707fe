"""Home descriptors that a transparent job reads: read on demand, or prefetched."""
