"""Stand-ins: what a transparent job finds behind descriptors of home's."""
