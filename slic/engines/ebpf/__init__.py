"""The `ebpf` engine: it observes by BPF programs and holds nothing."""
