/* guest: readv scatters stdin over buffers, and an empty list reads nothing
 * area: stdin
 * source: readv(2)
 * calls: readv, read
 * stdin: pipe "0123456789"
 * broken-by: readv:retval=4
 */
#include "check.h"
#include <sys/uio.h>

int main(void) {
    char a[3], b[2], c[8];
    struct iovec v[3] = {{a, 3}, {NULL, 0}, {b, 2}};
    CHECK(0, readv(0, v, 0));
    CHECK(5, readv(0, v, 3));
    TEXT("012", a, 3);
    TEXT("34", b, 2);
    CHECK(1, read(0, a, 1));
    TEXT("5", a, 1);
    v[1] = (struct iovec){(void *)-4096L, 8};
    ERR(EFAULT, readv(0, v + 1, 1));
    v[1] = (struct iovec){c, 8};
    CHECK(4, readv(0, v, 2));
    TEXT("678", a, 3);
    TEXT("9", c, 1);
    CHECK(0, readv(0, v, 3));
    OK();
}
