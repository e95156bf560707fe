/* Memory that may not be read or written keeps its bytes and its protection. */
#include "guest.h"
#include <setjmp.h>
static sigjmp_buf back;
static void caught(int s) { (void)s; siglongjmp(back, 1); }
static void guest(void)
{
	char *m = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(m, 'p', 3 * 4096);
	check(mprotect(m, 4096, PROT_NONE) == 0 && mprotect(m + 4096, 4096, PROT_READ) == 0);
	signal(SIGSEGV, caught);
	barrier();
	for (int i = 0; i < 2; i++) {
		if (sigsetjmp(back, 1) == 0) {
			m[i * 4096] = 'x';
			check(!"a write went through");
		}
	}
	check(mprotect(m, 3 * 4096, PROT_READ) == 0);
	for (int i = 0; i < 3 * 4096; i++)
		check(m[i] == 'p');
}
