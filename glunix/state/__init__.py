"""The pure state modules: Ndb, Pdb, Rexec, Nmgt, and the master and daemon made of them."""
