/* guest: a socket as stdin: peeking, reading, writing back, and its end
 * area: stdin
 * source: socket(7), recv(2), read(2)
 * calls: recvfrom, read, getsockopt, fstat|newfstatat
 * stdin: socket
 * on: data -> type "peek and read"
 * on: end -> eof
 * broken-by: recvfrom:retval=3
 */
#include "check.h"
#include <sys/socket.h>

int main(void) {
    char buf[32];
    struct stat s;
    QUIET(0, fstat(0, &s));
    HOLDS(S_ISSOCK(s.st_mode));
    int type = 0;
    socklen_t length = sizeof type;
    CHECK(0, getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &length));
    CHECK(SOCK_STREAM, type);
    ERR(EAGAIN, recv(0, buf, sizeof buf, MSG_DONTWAIT));
    READY("data");
    CHECK(1, waits_for(0, POLLIN, 10000));
    CHECK(4, recv(0, buf, 4, MSG_PEEK));
    TEXT("peek", buf, 4);
    CHECK(8, read(0, buf, 8));
    TEXT("peek and", buf, 8);
    CHECK(5, read(0, buf, sizeof buf));
    TEXT(" read", buf, 5);
    CHECK(6, write(0, "answer", 6));
    ERR(ESPIPE, lseek(0, 0, SEEK_CUR));
    READY("end");
    CHECK(0, read(0, buf, sizeof buf));
    OK();
}
