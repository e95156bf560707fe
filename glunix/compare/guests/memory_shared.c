/* guest: a shared mapping is shared over fork, a private one is copied when written
 * area: memory
 * source: mmap(2), fork(2)
 * calls: mmap, munmap, msync, wait4
 * also: static
 * broken-by: munmap:error=EINVAL:when=2+
 */
#include "check.h"
#include <sys/mman.h>

static char *map(int flags, int fd) {
    return MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, flags, fd, 0));
}

int main(void) {
    char buf[16];
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0600));
    QUIET(0, ftruncate(fd, 8192));
    QUIET(8, pwrite(fd, "original", 8, 0));
    char *anonymous = map(MAP_SHARED | MAP_ANONYMOUS, -1), *own = map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
    char *shared = map(MAP_SHARED, fd), *copy = map(MAP_PRIVATE, fd);
    TEXT("original", shared, 8);
    TEXT("original", copy, 8);
    pid_t pid = MUST(fork());
    if (pid == 0) {
        strcpy(anonymous, "from the child");
        strcpy(own, "from the child");
        memcpy(shared, "SHARED", 6);
        memcpy(copy + 4096, "COPY", 4);
        _exit(0);
    }
    JOIN(pid);
    TEXT("from the child", anonymous, 14);
    CHECK(0, own[0]);
    TEXT("SHAREDal", shared, 8);
    CHECK(8, pread(fd, buf, 8, 0));
    TEXT("SHAREDal", buf, 8);
    TEXT("SHAREDal", copy, 8); /* not written yet: still the file */
    CHECK(0, copy[4096]);
    memcpy(copy, "mine", 4);
    QUIET(4, pwrite(fd, "file", 4, 0));
    TEXT("fileEDal", shared, 8);
    TEXT("mineEDal", copy, 8);
    memcpy(shared + 100, "synced", 6);
    CHECK(0, msync(shared, 4096, MS_SYNC));
    CHECK(6, pread(fd, buf, 6, 100));
    TEXT("synced", buf, 6);
    CHECK(0, munmap(shared, 8192) | munmap(copy, 8192));
    CHECK(0, munmap(own, 8192));
    ERR(ENOMEM, msync(own, 4096, MS_SYNC));
    OK();
}
