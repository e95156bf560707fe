/* Children that have ended and were not waited for: by exit and by a signal. */
#include "guest.h"
static void guest(void)
{
	pid_t one = fork();
	if (!one)
		_exit(33);
	pid_t two = fork();
	if (!two) {
		pause();
		_exit(0);
	}
	kill(two, SIGTERM);
	siginfo_t info;
	check(waitid(P_PID, two, &info, WEXITED | WNOWAIT) == 0);
	check(waitid(P_PID, one, &info, WEXITED | WNOWAIT) == 0);
	barrier();
	int status;
	check(waitpid(one, &status, WNOHANG) == one && WIFEXITED(status) && WEXITSTATUS(status) == 33);
	check(waitpid(two, &status, WNOHANG) == two && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	check(wait(0) < 0 && errno == ECHILD);
}
