/* A writer that waits at a full pipe, and its reader. */
#include "guest.h"
static void guest(void)
{
	int p[2];
	check(pipe(p) == 0);
	pid_t child = fork();
	if (!child) {
		close(p[0]);
		for (int i = 0; i < 50000; i++)
			if (write(p[1], &i, sizeof i) != sizeof i)
				_exit(1);
		_exit(0);
	}
	close(p[1]);
	doze(30);
	barrier();
	int value, expected = 0;
	FILE *f = fdopen(p[0], "r");
	while (fread(&value, sizeof value, 1, f) == 1)
		check(value == expected++);
	check(expected == 50000);
	int status;
	check(waitpid(child, &status, 0) == child && status == 0);
}
