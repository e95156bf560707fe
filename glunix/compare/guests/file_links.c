/* guest: hard and symbolic links, rename over a file, an unlinked file lives while it is open
 * area: files
 * source: link(2), symlink(2), readlink(2), rename(2), unlink(2)
 * calls: link, symlink, readlink, rename, unlink, renameat2
 * broken-by: readlink:retval=4
 * broken-by: unlink:retval=0
 */
#include "check.h"

static long links(const char *name) {
    struct stat s;
    return stat(name, &s) < 0 ? -errno : (long)s.st_nlink;
}

int main(void) {
    char buf[16] = "";
    int fd = MUST(open("a", O_RDWR | O_CREAT, 0600));
    QUIET(3, write(fd, "aaa", 3));
    CHECK(1, links("a"));
    CHECK(0, link("a", "b"));
    CHECK(2, links("a"));
    ERR(EEXIST, link("a", "b"));
    CHECK(0, symlink("target/of/it", "s"));
    CHECK(12, readlink("s", buf, sizeof buf));
    TEXT("target/of/it", buf, 12);
    memset(buf, '.', sizeof buf);
    CHECK(6, readlink("s", buf, 6));
    HOLDS(memcmp(buf, "target.", 7) == 0);
    ERR(EINVAL, readlink("a", buf, sizeof buf));
    ERR(ENOENT, rename("missing", "a"));
    int other = MUST(open("c", O_RDWR | O_CREAT, 0600));
    QUIET(2, write(other, "cc", 2));
    CHECK(0, rename("c", "a"));
    CHECK(-ENOENT, links("c"));
    CHECK(1, links("b"));
    ERR(EEXIST, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
    CHECK(0, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
    int now = MUST(open("b", O_RDONLY));
    CHECK(2, read(now, buf, sizeof buf));
    TEXT("cc", buf, 2);
    CHECK(0, unlink("a"));
    CHECK(-ENOENT, links("a"));
    CHECK(3, pread(fd, buf, sizeof buf, 0));
    TEXT("aaa", buf, 3);
    struct stat s;
    QUIET(0, fstat(fd, &s));
    CHECK(0, s.st_nlink);
    ERR(EISDIR, unlink("."));
    OK();
}
