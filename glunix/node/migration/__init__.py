"""The node's part of a move (docs/migration.md): supervisor and movers."""
