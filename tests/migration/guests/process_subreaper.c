/* A subreaper still gets the orphans of its descendants. */
#include "guest.h"
static void guest(void)
{
	check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	int p[2];
	check(pipe(p) == 0);
	pid_t middle = fork();
	if (!middle) {
		char c;
		close(p[1]);
		if (!fork()) {
			_exit(read(p[0], &c, 1) == 0 ? 6 : 1);
		}
		if (read(p[0], &c, 1) != 0)
			_exit(1);
		_exit(0);
	}
	barrier();
	int on = 0;
	check(prctl(PR_GET_CHILD_SUBREAPER, &on) == 0 && on == 1);
	close(p[1]);
	int status, found = 0;
	pid_t one;
	while ((one = wait(&status)) > 0)
		found += one == middle ? (status == 0 ? 1 : 100) : WEXITSTATUS(status) == 6 ? 10 : 100;
	check(found == 11);
}
