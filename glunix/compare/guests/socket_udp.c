/* guest: UDP over the loopback: boundaries, truncation, connected sockets, sendmmsg
 * area: sockets
 * source: udp(7), sendmmsg(2)
 * calls: sendto, recvfrom, connect, sendmmsg, recvmmsg
 * needs: loopback
 * broken-by: recvfrom:retval=3
 */
#include "check.h"
#include <arpa/inet.h>
#include <sys/socket.h>

int main(void) {
    struct sockaddr_in a = {.sin_family = AF_INET}, from;
    socklen_t length = sizeof a;
    char buf[16], more[2][8];
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int s = MUST(socket(AF_INET, SOCK_DGRAM, 0)), c = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    MUST(bind(s, (void *)&a, sizeof a));
    MUST(getsockname(s, (void *)&a, &length));
    CHECK(4, sendto(c, "four", 4, 0, (void *)&a, sizeof a));
    CHECK(0, sendto(c, "", 0, 0, (void *)&a, sizeof a));
    CHECK(6, sendto(c, "sixsix", 6, 0, (void *)&a, sizeof a));
    CHECK(4, recvfrom(s, buf, sizeof buf, 0, (void *)&from, &length));
    HOLDS(from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    CHECK(0, recv(s, buf, sizeof buf, 0));
    CHECK(6, recv(s, buf, 3, MSG_TRUNC));
    ERR(EAGAIN, recv(s, buf, 3, MSG_DONTWAIT));
    CHECK(0, connect(c, (void *)&a, sizeof a));
    struct iovec out[2] = {{"a", 1}, {"bcd", 3}}, in[2] = {{more[0], 8}, {more[1], 8}};
    struct mmsghdr two[2] = {{{.msg_iov = &out[0], .msg_iovlen = 1}, 0},
                             {{.msg_iov = &out[1], .msg_iovlen = 1}, 0}};
    CHECK(2, sendmmsg(c, two, 2, 0));
    two[0].msg_hdr.msg_iov = &in[0];
    two[1].msg_hdr.msg_iov = &in[1];
    CHECK(2, recvmmsg(s, two, 2, 0, NULL));
    HOLDS(two[0].msg_len == 1 && two[1].msg_len == 3);
    TEXT("bcd", more[1], 3);
    close(s);
    CHECK(1, send(c, "x", 1, 0));
    ERR(ECONNREFUSED, recv(c, buf, 1, 0)); /* the answer to that came back */
    static char big[70000];
    ERR(EMSGSIZE, send(c, big, sizeof big, 0));
    ERR(EDESTADDRREQ, send(MUST(socket(AF_INET, SOCK_DGRAM, 0)), "x", 1, 0));
    OK();
}
