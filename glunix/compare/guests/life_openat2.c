/* guest: openat2 judges the size of its argument first, then what is in it
 * area: files
 * source: openat2(2)
 * calls: openat2
 * broken-by: openat2:retval=0
 */
#include "check.h"
#include <linux/openat2.h>

static char room[8192];

static long opened(const char *name, size_t size) {
    long fd = syscall(SYS_openat2, AT_FDCWD, name, room, size);
    if (fd < 0) return -1;
    close((int)fd);
    return 0;
}

int main(void) {
    struct open_how *how = (void *)room;
    how->flags = O_RDONLY;
    CHECK(0, opened("/dev/null", sizeof *how));
    CHECK(0, opened("/dev/null", sizeof *how + 8));
    ERR(EINVAL, opened("/dev/null", sizeof *how - 8));
    ERR(EINVAL, opened("/dev/null", 0));
    ERR(E2BIG, opened("/dev/null", 1L << 30));
    room[sizeof *how] = 1;
    ERR(E2BIG, opened("/dev/null", sizeof *how + 8));
    room[sizeof *how] = 0;
    ERR(EFAULT, syscall(SYS_openat2, AT_FDCWD, "/dev/null", 0, sizeof *how));
    how->resolve = 1ULL << 40;
    ERR(EINVAL, opened("/dev/null", sizeof *how));
    how->resolve = RESOLVE_NO_SYMLINKS;
    ERR(ELOOP, opened("/proc/self/exe", sizeof *how));
    how->resolve = RESOLVE_BENEATH;
    ERR(EXDEV, opened("/dev/null", sizeof *how));
    how->resolve = 0;
    how->mode = 0600;
    ERR(EINVAL, opened("/dev/null", sizeof *how));
    OK();
}
