/* guest: mmap's and munmap's errors, fixed addresses, and RLIMIT_AS
 * area: memory
 * source: mmap(2), getrlimit(2) RLIMIT_AS
 * calls: mmap, munmap, mprotect, prlimit64
 * broken-by: prlimit64:retval=0
 */
#include "check.h"
#include <sys/mman.h>
#include <sys/resource.h>

static long map(void *at, size_t size, int prot, int flags, int fd, off_t offset) {
    void *p = mmap(at, size, prot, flags, fd, offset);
    return p == MAP_FAILED ? -1 : (long)p;
}

int main(void) {
    int rw = PROT_READ | PROT_WRITE, anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    int reader = MUST(open("f", O_CREAT | O_RDONLY, 0600)), writer = MUST(open("f", O_WRONLY));
    ERR(EINVAL, map(NULL, 0, rw, anonymous, -1, 0));
    ERR(EINVAL, map(NULL, 4096, rw, MAP_ANONYMOUS, -1, 0));
    ERR(EINVAL, map(NULL, 4096, PROT_READ, MAP_PRIVATE, reader, 1));
    ERR(EBADF, map(NULL, 4096, PROT_READ, MAP_PRIVATE, -1, 0));
    ERR(EACCES, map(NULL, 4096, rw, MAP_SHARED, reader, 0));
    ERR(EACCES, map(NULL, 4096, PROT_READ, MAP_PRIVATE, writer, 0));
    ERR(ENOMEM, map(NULL, (size_t)1 << 62, rw, anonymous, -1, 0));
    int p[2];
    MUST(pipe(p));
    ERR(ENODEV, map(NULL, 4096, PROT_READ, MAP_PRIVATE, p[0], 0));
    char *area = (char *)MUST(map(NULL, 16384, rw, anonymous, -1, 0));
    area[4096] = 'x';
    ERR(EEXIST, map(area, 4096, rw, anonymous | MAP_FIXED_NOREPLACE, -1, 0));
    HOLDS(map(area + 4096, 4096, rw, anonymous | MAP_FIXED, -1, 0) == (long)area + 4096);
    CHECK(0, area[4096]);
    CHECK(0, munmap(area + 4096, 4096));
    CHECK(0, munmap(area + 4096, 4096)); /* nothing there: no error */
    ERR(ENOMEM, mprotect(area, 16384, PROT_READ));
    ERR(EINVAL, munmap(area + 1, 4096));
    CHECK(0, munmap(area, 16384));
    struct rlimit limit = {1 << 30, 1 << 30};
    CHECK(0, setrlimit(RLIMIT_AS, &limit));
    ERR(ENOMEM, map(NULL, 2L << 30, PROT_NONE, anonymous, -1, 0));
    HOLDS(map(NULL, 1 << 20, PROT_NONE, anonymous, -1, 0) != -1);
    OK();
}
