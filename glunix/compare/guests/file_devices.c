/* guest: /dev/null, /dev/zero, /dev/full and /dev/urandom do what they say
 * area: files
 * source: null(4), full(4), random(4)
 * calls: openat, read, write
 * broken-by: openat:error=ENOENT:when=3
 */
#include "check.h"

int main(void) {
    char a[64], b[64] = "";
    memset(a, 'x', sizeof a);
    int null = MUST(open("/dev/null", O_RDWR));
    CHECK(64, write(null, a, sizeof a));
    CHECK(0, read(null, a, sizeof a));
    int zero = MUST(open("/dev/zero", O_RDWR));
    CHECK(64, read(zero, a, sizeof a));
    HOLDS(memcmp(a, b, sizeof a) == 0);
    CHECK(64, write(zero, a, sizeof a));
    int full = MUST(open("/dev/full", O_RDWR));
    ERR(ENOSPC, write(full, a, 1));
    CHECK(3, read(full, a, 3));
    int random = MUST(open("/dev/urandom", O_RDONLY));
    CHECK(64, read(random, a, sizeof a));
    CHECK(64, read(random, b, sizeof b));
    HOLDS(memcmp(a, b, sizeof a) != 0);
    CHECK(0, lseek(null, 99, SEEK_SET));
    ERR(ENOTTY, ioctl(null, TIOCGWINSZ, a));
    OK();
}
