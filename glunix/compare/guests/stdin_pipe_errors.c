/* guest: a pipe as stdin cannot seek, and a read into a bad buffer takes nothing out of it
 * area: stdin
 * source: lseek(2), pread(2), read(2)
 * calls: lseek, pread64, read, preadv
 * stdin: pipe "abcdef"
 * broken-by: lseek:retval=0
 */
#include "check.h"
#include <sys/mman.h>
#include <sys/uio.h>

int main(void) {
    char buf[16], *bad = (char *)-4096L;
    ERR(ESPIPE, lseek(0, 0, SEEK_CUR));
    ERR(ESPIPE, pread(0, buf, 1, 0));
    struct iovec v = {buf, 1};
    ERR(ESPIPE, preadv(0, &v, 1, 0));
    ERR(EFAULT, read(0, bad, 6));
    char *page = MUST(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ERR(EFAULT, read(0, page, 6));
    CHECK(6, read(0, buf, sizeof buf));
    TEXT("abcdef", buf, 6);
    CHECK(0, read(0, buf, sizeof buf));
    CHECK(0, read(0, page, 6)); /* at the end of file there is nothing to copy */
    OK();
}
