/* A family that forks and ends all the time can be stopped, and loses nobody. */
#include "guest.h"
static void guest(void)
{
	say_ready();
	int n = 0;
	while (n <= 10 || !gate_is_open()) {
		int want = n++ % 100, status;
		pid_t child = fork();
		if (!child)
			_exit(want);
		check(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == want);
	}
}
