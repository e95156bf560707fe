/* A pipe without a writer, with bytes; a pipe without a reader. */
#include "guest.h"
static void guest(void)
{
	int p[2], q[2];
	check(pipe(p) == 0 && pipe(q) == 0);
	check(write(p[1], "last words", 10) == 10);
	close(p[1]);
	close(q[0]);
	signal(SIGPIPE, SIG_IGN);
	barrier();
	char back[16];
	check(read(p[0], back, 16) == 10 && memcmp(back, "last words", 10) == 0);
	check(read(p[0], back, 16) == 0);
	check(write(q[1], "x", 1) < 0 && errno == EPIPE);
}
