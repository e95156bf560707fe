"""Who belongs to a cluster: its CA, certificates, invitations, revocations. No network."""
