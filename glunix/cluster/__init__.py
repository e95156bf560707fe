"""What `up`, `join`, services and isolation share: clusters and their processes."""
