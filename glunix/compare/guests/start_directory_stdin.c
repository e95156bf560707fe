/* guest: a directory as fd 0 is one: EISDIR, its status, a place for names
 * area: files
 * source: read(2) EISDIR, openat(2)
 * calls: read, newfstatat|fstat, openat
 * start: mkdir d; echo x >d/in; exec <d
 * broken-by: read:retval=0:when=2+
 */
#include "check.h"
int main(void) {
    char buf[4];
    struct stat seen, named;
    ERR(EISDIR, read(0, buf, 1));
    CHECK(0, fstat(0, &seen));
    HOLDS(S_ISDIR(seen.st_mode));
    CHECK(0, stat("d", &named));
    HOLDS(seen.st_ino == named.st_ino && seen.st_dev == named.st_dev);
    int fd = openat(0, "in", O_RDONLY);
    HOLDS(fd == 3);
    CHECK(2, read(fd, buf, 4));
    TEXT("x\n", buf, 2);
    ERR(ENOENT, openat(0, "out", O_RDONLY));
    OK();
}
