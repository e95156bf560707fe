/* guest: getrandom gives as many bytes as asked for, different ones each time
 * area: identity
 * source: getrandom(2)
 * calls: getrandom
 * also: static
 * broken-by: getrandom:retval=7
 */
#include "check.h"
#include <sys/random.h>

int main(void) {
    static unsigned char a[100000], b[100000];
    CHECK(0, getrandom(a, 0, 0));
    CHECK(1, getrandom(a, 1, 0));
    CHECK(256, getrandom(a, 256, 0));
    CHECK(256, getrandom(b, 256, GRND_NONBLOCK));
    HOLDS(memcmp(a, b, 256) != 0);
    CHECK(100000, getrandom(a, 100000, 0));
    CHECK(100000, getrandom(b, 100000, 0));
    HOLDS(memcmp(a, b, sizeof a) != 0);
    int bits = 0;
    for (size_t i = 0; i < sizeof a; i++)
        bits += __builtin_popcount(a[i]);
    HOLDS(bits > 396000 && bits < 404000); /* 400,000 with a deviation of 447 */
    ERR(EINVAL, getrandom(a, 1, 0x80));
    ERR(EFAULT, getrandom((void *)-4096L, 1, 0));
    CHECK(0, getentropy(a, 256));
    ERR(EIO, getentropy(a, 257));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        getrandom(a, 16, 0);
        FILE *f = fopen("child", "w");
        fwrite(a, 1, 16, f);
        fclose(f);
        _exit(0);
    }
    getrandom(b, 16, 0);
    JOIN(pid);
    QUIET(16, read(MUST(open("child", O_RDONLY)), a, 16));
    HOLDS(memcmp(a, b, 16) != 0);
    OK();
}
