/* brk: the heap goes on where it was. */
#include "guest.h"
static void guest(void)
{
	char *first = sbrk(1 << 20), *top = sbrk(0);
	memset(first, 'h', 1 << 20);
	barrier();
	check(sbrk(0) == top);
	for (int i = 0; i < 1 << 20; i++)
		check(first[i] == 'h');
	check(sbrk(4096) == top);
	top[4095] = 1;
}
