/* guest: open's flags: O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW, and its errors
 * area: files
 * source: open(2)
 * calls: openat, symlink, mkdir
 * also: static
 * broken-by: openat:error=ENOENT:when=4+
 */
#include "check.h"

int main(void) {
    char longname[300];
    memset(longname, 'n', sizeof longname);
    longname[299] = 0;
    ERR(ENOENT, open("f", O_RDWR));
    int fd = MUST(open("f", O_RDWR | O_CREAT | O_EXCL, 0600));
    QUIET(3, write(fd, "abc", 3));
    ERR(EEXIST, open("f", O_RDWR | O_CREAT | O_EXCL, 0600));
    MUST(mkdir("d", 0700));
    MUST(symlink("f", "l"));
    MUST(symlink("loop", "loop"));
    MUST(symlink("nowhere", "dangling"));
    ERR(EEXIST, open("l", O_WRONLY | O_CREAT | O_EXCL, 0600));
    ERR(ENOTDIR, open("f", O_RDONLY | O_DIRECTORY));
    ERR(ENOTDIR, open("f/x", O_RDONLY));
    ERR(EISDIR, open("d", O_WRONLY));
    ERR(EISDIR, open("d", O_RDONLY | O_CREAT, 0600));
    ERR(ELOOP, open("l", O_RDONLY | O_NOFOLLOW));
    ERR(ELOOP, open("loop", O_RDONLY));
    ERR(ENOENT, open("dangling", O_RDONLY));
    ERR(ENAMETOOLONG, open(longname, O_RDONLY));
    ERR(ENOENT, open("", O_RDONLY));
    int link = MUST(open("l", O_PATH | O_NOFOLLOW));
    ERR(EBADF, read(link, longname, 1));
    struct stat s;
    QUIET(0, fstat(fd, &s));
    CHECK(3, s.st_size);
    close(MUST(open("l", O_WRONLY | O_TRUNC)));
    QUIET(0, fstat(fd, &s));
    CHECK(0, s.st_size);
    int dir = MUST(open("d", O_RDONLY | O_DIRECTORY));
    MUST(openat(dir, "inside", O_CREAT | O_WRONLY, 0600));
    ERR(ENOTDIR, openat(fd, "inside", O_RDONLY));
    ERR(EBADF, openat(-1, "inside", O_RDONLY));
    HOLDS(access("d/inside", F_OK) == 0);
    OK();
}
