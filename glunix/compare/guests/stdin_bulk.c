/* guest: 300,000 bytes of stdin arrive complete and in order whatever the sizes of the reads
 * area: stdin
 * source: read(2), readv(2)
 * calls: read, readv
 * stdin: pattern 300000
 * broken-by: read:retval=1:when=6
 */
#include "check.h"
#include <sys/uio.h>

int main(void) {
    static unsigned char buf[70000];
    static const size_t sizes[] = {1, 7, 4096, 100, 65536, 70000, 513};
    long at = 0, n;
    for (int turn = 0;; turn++) {
        size_t size = sizes[turn % 7];
        struct iovec v[2] = {{buf, size / 2}, {buf + size / 2, size - size / 2}};
        n = turn % 3 == 2 ? readv(0, v, 2) : read(0, buf, size);
        if (n <= 0)
            break;
        for (long i = 0; i < n; i++, at++)
            if (buf[i] != (at * 7 + at / 256) % 251)
                check_failed(__LINE__, "byte %ld: expected %ld, got %d", at,
                             (at * 7 + at / 256) % 251, buf[i]);
    }
    CHECK(0, n);
    CHECK(300000, at);
    OK();
}
