/* Pairs that keep messages apart: datagrams and SOCK_SEQPACKET. */
#include "guest.h"
#include <sys/socket.h>
static void guest(void)
{
	int d[2], q[2];
	check(socketpair(AF_UNIX, SOCK_DGRAM, 0, d) == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, q) == 0);
	for (int i = 1; i < 9; i++) {
		char m[9];
		memset(m, 'a' + i, sizeof m);
		check(send(d[0], m, i, 0) == i && send(q[1], m, i, 0) == i);
	}
	barrier();
	for (int i = 1; i < 9; i++) {
		char m[16];
		check(recv(d[1], m, sizeof m, 0) == i && m[0] == 'a' + i);
		check(recv(q[0], m, sizeof m, 0) == i && m[i - 1] == 'a' + i);
	}
	char m[4];
	check(recv(d[1], m, 4, MSG_DONTWAIT) < 0 && errno == EAGAIN);
}
