/* Advice that changes what happens: MADV_DONTFORK and MADV_WIPEONFORK, and mlock. */
#include "guest.h"
static int locked(void)
{
	char line[256];
	int kib = -1;
	FILE *f = fopen("/proc/self/status", "r");
	while (fgets(line, sizeof line, f))
		sscanf(line, "VmLck: %d", &kib);
	fclose(f);
	return kib;
}
static void guest(void)
{
	char *m = mmap(0, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(m, 'f', 4 * 4096);
	check(madvise(m, 4096, MADV_DONTFORK) == 0 && madvise(m + 8192, 4096, MADV_WIPEONFORK) == 0);
	check(mlock(m + 3 * 4096, 4096) == 0);
	int before = locked();
	barrier();
	check(locked() == before && before == 4);
	pid_t child = fork();
	if (!child) {
		if (m[8192] != 0)
			_exit(1);
		_exit(msync(m, 4096, MS_ASYNC) == 0 || errno != ENOMEM ? 2 : 0);
	}
	int status;
	check(waitpid(child, &status, 0) == child && status == 0);
	check(m[0] == 'f' && m[8192] == 'f');
}
