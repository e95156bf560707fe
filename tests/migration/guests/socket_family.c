/* A pair between parent and child: both ends in different processes. */
#include "guest.h"
#include <sys/socket.h>
static void guest(void)
{
	int s[2];
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	pid_t child = fork();
	if (!child) {
		int n;
		close(s[0]);
		while (read(s[1], &n, sizeof n) == sizeof n) {
			n *= 2;
			if (write(s[1], &n, sizeof n) != sizeof n)
				_exit(1);
		}
		_exit(0);
	}
	close(s[1]);
	int n = 4;
	check(write(s[0], &n, sizeof n) == sizeof n && read(s[0], &n, sizeof n) == sizeof n && n == 8);
	barrier();
	n = 21;
	check(write(s[0], &n, sizeof n) == sizeof n && read(s[0], &n, sizeof n) == sizeof n && n == 42);
	close(s[0]);
	int status;
	check(waitpid(child, &status, 0) == child && status == 0);
}
