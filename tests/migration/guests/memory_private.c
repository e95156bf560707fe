/* Private anonymous memory: filled, partly untouched, partly only read. */
#include "guest.h"
static void guest(void)
{
	size_t size = 4 << 20;
	unsigned char *m = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile unsigned char seen = m[size / 2];
	for (size_t i = 0; i < size / 4; i += 7)
		m[i] = i * 31;
	barrier();
	for (size_t i = 0; i < size / 4; i += 7)
		check(m[i] == (unsigned char)(i * 31));
	for (size_t i = size / 4; i < size; i++)
		check(m[i] == 0);
	check(seen == 0);
}
