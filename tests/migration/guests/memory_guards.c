/* Guard pages (MADV_GUARD_INSTALL): where the kernel has them they stay. */
#include "guest.h"
#include <setjmp.h>
static sigjmp_buf back;
static void caught(int s) { (void)s; siglongjmp(back, 1); }
static void guest(void)
{
	char *m = mmap(0, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(m, 'g', 4 * 4096);
	int guarded = madvise(m + 4096, 4096, 102) == 0;
	signal(SIGSEGV, caught);
	barrier();
	check(m[0] == 'g' && m[8192] == 'g');
	if (!guarded)
		return;
	if (sigsetjmp(back, 1) == 0) {
		m[4096] = 'x';
		check(!"the guard page is gone");
	}
	check(madvise(m + 4096, 4096, 103) == 0);
	m[4096] = 'x';
}
