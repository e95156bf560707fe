/* Children and grandchildren: numbers, parents, exit statuses. */
#include "guest.h"
static void guest(void)
{
	int p[2];
	check(pipe(p) == 0);
	pid_t self = getpid(), parent = getppid(), child[3];
	for (int i = 0; i < 3; i++) {
		child[i] = fork();
		if (child[i])
			continue;
		pid_t own = getpid();
		close(p[1]);
		pid_t grand = fork();
		if (!grand) {
			char c;
			ssize_t n = read(p[0], &c, 1);
			_exit(n == 0 && getppid() == own ? 5 : 1);
		}
		int status;
		if (waitpid(grand, &status, 0) != grand || WEXITSTATUS(status) != 5)
			_exit(1);
		_exit(getpid() == own && getppid() == self ? 10 + i : 2);
	}
	barrier();
	check(getpid() == self);
	(void)parent;
	close(p[1]);
	for (int i = 0; i < 3; i++) {
		int status;
		check(waitpid(child[i], &status, 0) == child[i] && WEXITSTATUS(status) == 10 + i);
	}
	check(wait(0) < 0 && errno == ECHILD);
}
