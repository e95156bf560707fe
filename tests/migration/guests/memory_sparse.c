/* A large reservation with a few pages in it costs a few pages. */
#include "guest.h"
static void guest(void)
{
	size_t size = (size_t)1 << 36;
	char *m = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);
	check(m != MAP_FAILED);
	for (size_t at = 0; at < size; at += size / 16)
		m[at] = at >> 32 | 1;
	barrier();
	for (size_t at = 0; at < size; at += size / 16)
		check(m[at] == (char)(at >> 32 | 1) && m[at + 4096] == 0);
}
