/* All programs in one object, so that the kernel's BTF is read once. */
#include "lives.bpf.c"
#include "calls.bpf.c"
