/* Groups and sessions, one of a group whose first process has ended, one born before setsid. */
#include "guest.h"
static int p[2], back[2];
struct told { pid_t pid, group, session; };
static pid_t child(pid_t group, int session)
{
	pid_t made = fork();
	if (made)
		return made;
	if (session)
		setsid();
	else
		setpgid(0, group);
	struct told before = {getpid(), getpgrp(), getsid(0)};
	if (write(back[1], "r", 1) != 1)
		_exit(1);
	char c;
	close(p[1]);
	if (read(p[0], &c, 1) != 0)
		_exit(1);
	struct told after = {getpid(), getpgrp(), getsid(0)};
	_exit(memcmp(&before, &after, sizeof after) ? 1 : 0);
}
static void guest(void)
{
	char c;
	check(pipe(p) == 0 && pipe(back) == 0);
	pid_t first = fork();
	if (!first) {
		setpgid(0, 0);
		pause();
	}
	setpgid(first, first);
	pid_t all[4];
	all[0] = child(0, 0);
	check(read(back[0], &c, 1) == 1);
	all[1] = child(all[0], 0);
	all[2] = child(first, 0);
	all[3] = child(0, 1);
	for (int i = 0; i < 3; i++)
		check(read(back[0], &c, 1) == 1);
	kill(first, SIGKILL);
	check(waitpid(first, 0, 0) == first);
	pid_t group = getpgrp(), session = getsid(0);
	barrier();
	check(getpgrp() == group && getsid(0) == session && getpgid(all[1]) == all[0]);
	check(getpgid(all[2]) == first && kill(-first, 0) == 0);
	close(p[1]);
	for (int i = 0; i < 4; i++) {
		int status;
		check(waitpid(all[i], &status, 0) == all[i] && status == 0);
	}
}
