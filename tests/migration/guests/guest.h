/* What every guest uses: it makes something, waits at a barrier, where it is moved, and checks that
 * all is as it was. Standard output is a file; PASS is its last line if nothing differed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *guest_gate;
static int guest_round;

__attribute__((unused)) static void fail(const char *what, int line)
{
	printf("FAIL line %d: %s (errno %d %s)\n", line, what, errno, strerror(errno));
	fflush(stdout);
	_exit(1);
}
#define check(condition) do { if (!(condition)) fail(#condition, __LINE__); } while (0)

static inline void doze(long milliseconds)
{
	struct timespec t = {milliseconds / 1000, milliseconds % 1000 * 1000000};
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

static inline double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Says READY and waits for the file GATE.n: what is between two barriers happens on two "nodes". */
static inline void say_ready(void)
{
	printf("READY %d\n", guest_round);
	fflush(stdout);
}
static inline int gate_is_open(void)
{
	char path[4096];
	snprintf(path, sizeof path, "%s.%d", guest_gate, guest_round);
	return access(path, F_OK) == 0;
}
static inline void await_gate(void)
{
	while (!gate_is_open())
		doze(2);
	guest_round++;
}
static inline void barrier(void)
{
	say_ready();
	await_gate();
}

static void guest(void);
int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	static char buffer[4096];
	setvbuf(stdout, buffer, _IOFBF, sizeof buffer); /* its own would move the heap */
	guest_gate = argv[1];
	guest();
	printf("PASS\n");
	return 0;
}
