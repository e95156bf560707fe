/* Bytes in a pipe that nobody has read, its size, and O_NONBLOCK of one end. */
#include "guest.h"
static void guest(void)
{
	int p[2];
	check(pipe2(p, O_CLOEXEC) == 0);
	check(fcntl(p[1], F_SETPIPE_SZ, 131072) == 131072);
	char out[100000], in[100000];
	for (int i = 0; i < 100000; i++)
		out[i] = i * 7;
	check(write(p[1], out, sizeof out) == sizeof out);
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	barrier();
	check(fcntl(p[1], F_GETPIPE_SZ) == 131072);
	size_t got = 0;
	while (got < sizeof in) {
		ssize_t n = read(p[0], in + got, sizeof in - got);
		check(n > 0);
		got += n;
	}
	check(memcmp(in, out, sizeof in) == 0);
	check(read(p[0], in, 1) < 0 && errno == EAGAIN);
	check(!(fcntl(p[1], F_GETFL) & O_NONBLOCK) && fcntl(p[0], F_GETFD) == FD_CLOEXEC);
	close(p[1]);
	check(read(p[0], in, 1) == 0);
}
