/* A child that gave up its rights: ids, groups, capabilities, no_new_privs. */
#include "guest.h"
#include <grp.h>
static void verify(void)
{
	uid_t r, e, s;
	gid_t rg, eg, sg, groups[8];
	if (getresuid(&r, &e, &s) || r != 20011 || e != 20012 || s != 20012)
		_exit(1);
	if (getresgid(&rg, &eg, &sg) || rg != 20021 || eg != 20021 || sg != 20021)
		_exit(2);
	if (getgroups(8, groups) != 2 || groups[0] != 20031 || groups[1] != 20032)
		_exit(3);
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		_exit(4);
	if (prctl(PR_CAPBSET_READ, 21) != 0 || prctl(PR_CAPBSET_READ, 0) != 1)
		_exit(5);
	if (setuid(0) == 0 || open("/etc/shadow", O_RDONLY) >= 0)
		_exit(6);
}
static void guest(void)
{
	int p[2], q[2];
	check(pipe(p) == 0 && pipe(q) == 0);
	pid_t child = fork();
	if (!child) {
		gid_t groups[] = {20031, 20032};
		check(chdir("/") == 0); /* what it could not enter again would be refused */
		if (prctl(PR_CAPBSET_DROP, 21) || setgroups(2, groups) || setresgid(20021, 20021, 20021) ||
		    setresuid(20011, 20012, 20012) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
			_exit(9);
		verify();
		close(p[1]);
		char c;
		if (write(q[1], "r", 1) != 1 || read(p[0], &c, 1) != 0)
			_exit(8);
		verify();
		_exit(0);
	}
	char c;
	check(read(q[0], &c, 1) == 1);
	barrier();
	check(getuid() == 0);
	close(p[1]);
	int status;
	check(waitpid(child, &status, 0) == child && status == 0);
}
