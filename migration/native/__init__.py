"""The native engine: processes taken apart and built again with ptrace, over slic.kernel alone."""
