"""eBPF programs and their loader (probed at run time)."""
