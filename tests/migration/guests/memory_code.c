/* Code that was written at run time still runs. */
#include "guest.h"
static void guest(void)
{
	unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
	void *m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(m, code, sizeof code);
	check(mprotect(m, 4096, PROT_READ | PROT_EXEC) == 0);
	barrier();
	check(((int (*)(void))m)() == 42);
}
