/* guest: a TCP connection over the loopback: names, data, half close, readiness, refusal
 * area: sockets
 * source: tcp(7), ip(7)
 * calls: socket, bind, listen, connect, accept4|accept, getsockname, getpeername, shutdown
 * needs: loopback
 * broken-by: getpeername:retval=0
 */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

int main(void) {
    struct sockaddr_in here = {.sin_family = AF_INET}, there = {0}, peer = {0};
    socklen_t length = sizeof here;
    char buf[16];
    int one = 1, error = -1;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = MUST(socket(AF_INET, SOCK_STREAM, 0));
    CHECK(0, setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
    CHECK(0, bind(listener, (void *)&here, sizeof here));
    CHECK(0, getsockname(listener, (void *)&here, &length));
    HOLDS(ntohs(here.sin_port) != 0 && length == sizeof here);
    CHECK(0, listen(listener, 5));
    int c = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    ERR(EINPROGRESS, connect(c, (void *)&here, sizeof here));
    CHECK(1, waits_for(c, POLLOUT, 10000));
    length = sizeof error;
    CHECK(0, getsockopt(c, SOL_SOCKET, SO_ERROR, &error, &length));
    CHECK(0, error);
    CHECK(0, fcntl(c, F_SETFL, 0));
    CHECK(1, waits_for(listener, POLLIN, 10000));
    length = sizeof there;
    int s = MUST(accept(listener, (void *)&there, &length));
    length = sizeof peer;
    CHECK(0, getpeername(s, (void *)&peer, &length));
    HOLDS(peer.sin_port == there.sin_port && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    length = sizeof peer;
    CHECK(0, getsockname(c, (void *)&peer, &length));
    HOLDS(peer.sin_port == there.sin_port);
    CHECK(0, setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
    CHECK(5, send(c, "hello", 5, 0));
    CHECK(5, recv(s, buf, 5, MSG_WAITALL));
    CHECK(0, shutdown(c, SHUT_WR));
    CHECK(0, recv(s, buf, sizeof buf, 0));
    CHECK(5, send(s, "reply", 5, 0));
    CHECK(5, recv(c, buf, 5, MSG_WAITALL));
    close(s);
    CHECK(0, recv(c, buf, sizeof buf, 0));
    close(listener);
    int refused = MUST(socket(AF_INET, SOCK_STREAM, 0));
    ERR(ECONNREFUSED, connect(refused, (void *)&here, sizeof here));
    ERR(ENOTCONN, getpeername(refused, (void *)&peer, &length));
    ERR(EAFNOSUPPORT, socket(9999, SOCK_STREAM, 0));
    OK();
}
