/* Shared anonymous memory of a parent and its child stays shared. */
#include "guest.h"
static void guest(void)
{
	volatile int *m = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	m[5] = 17;
	pid_t child = fork();
	if (!child) {
		while (!m[0])
			doze(1);
		m[1] = m[5] + 1;
		_exit(3);
	}
	barrier();
	check(m[5] == 17);
	m[5] = 40;
	m[0] = 1;
	int status;
	check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 3);
	check(m[1] == 41);
}
