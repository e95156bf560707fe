/* A pair of stream sockets: unread bytes both ways, then more, then the end. */
#include "guest.h"
#include <sys/socket.h>
static void guest(void)
{
	int s[2];
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0);
	check(write(s[0], "to one", 6) == 6 && write(s[0], " and more", 9) == 9);
	check(write(s[1], "to zero", 7) == 7);
	fcntl(s[0], F_SETFL, O_NONBLOCK);
	barrier();
	char back[64] = "";
	check(recv(s[1], back, sizeof back, 0) == 15 && memcmp(back, "to one and more", 15) == 0);
	check(recv(s[0], back, sizeof back, 0) == 7 && memcmp(back, "to zero", 7) == 0);
	check(recv(s[0], back, 1, 0) < 0 && errno == EAGAIN);
	check(write(s[1], "x", 1) == 1 && read(s[0], back, 2) == 1);
	check(fcntl(s[1], F_GETFD) == FD_CLOEXEC);
	close(s[0]);
	check(read(s[1], back, 1) == 0);
}
