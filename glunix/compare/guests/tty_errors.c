/* guest: a terminal has no offset and no pages: pread, pwrite, lseek, mmap, tee, ftruncate fail
 * area: tty
 * source: pread(2), lseek(2), mmap(2), tee(2), fsync(2)
 * calls: pread64, pwrite64, lseek, preadv, mmap, tee, ftruncate, fsync, read, readv
 * needs: tty
 * on: line -> type "a line\n"
 * broken-by: lseek:retval=0
 * broken-by: ftruncate:retval=0
 */
#include "check.h"
#include <sys/mman.h>
#include <sys/uio.h>

int main(void) {
    char buf[64];
    struct iovec parts[2] = {{buf, 2}, {buf + 2, sizeof buf - 2}};
    int p[2], own = MUST(open("/dev/tty", O_RDWR));
    MUST(pipe(p));
    for (int fd = 0; fd <= own; fd += own) {
        ERR(ESPIPE, pread(fd, buf, 1, 0));
        ERR(ESPIPE, pwrite(fd, buf, 1, 0));
        ERR(ESPIPE, preadv(fd, parts, 2, 0));
        ERR(ESPIPE, lseek(fd, 0, SEEK_CUR));
        ERR(ENODEV, (long)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0));
        ERR(EINVAL, tee(fd, p[1], 1, 0));
        ERR(EINVAL, ftruncate(fd, 0));
        ERR(EINVAL, fsync(fd));
    }
    CHECK(0, read(0, buf, 0));
    READY("line");
    CHECK(7, readv(own, parts, 2));
    TEXT("a line\n", buf, 7);
    OK();
}
