/* guest: stat, lstat, fstat and statx tell the same of a file; types and errors
 * area: files
 * source: stat(2), statx(2), inode(7)
 * calls: newfstatat, fstat|newfstatat, statx, mknodat
 * also: static
 * broken-by: statx:retval=0
 */
#include "check.h"
#include <sys/socket.h>
#include <sys/un.h>

static const char *type(const char *name) {
    struct stat s;
    MUST(lstat(name, &s));
    switch (s.st_mode & S_IFMT) {
    case S_IFREG: return "regular";
    case S_IFDIR: return "directory";
    case S_IFLNK: return "link";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "socket";
    case S_IFCHR: return "character device";
    default: return "other";
    }
}

int main(void) {
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0640));
    QUIET(0, ftruncate(fd, 123456));
    MUST(symlink("f", "l"));
    MUST(mkfifo("p", 0600));
    struct sockaddr_un name = {AF_UNIX, "s"};
    MUST(bind(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&name, sizeof name));
    const char *names[] = {"f", ".", "l", "p", "s", "/dev/null"};
    for (int i = 0; i < 6; i++)
        SAY("%s: %s", names[i], type(names[i]));
    struct stat a, b, c;
    CHECK(0, stat("l", &a) | fstat(fd, &b) | lstat("l", &c));
    HOLDS(a.st_ino == b.st_ino && a.st_dev == b.st_dev && c.st_ino != a.st_ino);
    CHECK(123456, a.st_size);
    CHECK(1, c.st_size);
    struct statx x;
    memset(&x, 0, sizeof x);
    CHECK(0, statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x));
    HOLDS(x.stx_ino == a.st_ino && x.stx_size == (unsigned long)a.st_size);
    HOLDS(x.stx_mode == a.st_mode && x.stx_uid == getuid() && x.stx_nlink == 1);
    CHECK(0, a.st_blocks);
    ERR(ENOENT, stat("missing", &a));
    ERR(ENOTDIR, stat("f/", &a));
    ERR(EBADF, fstat(-1, &a));
    CHECK(0, fstatat(fd, "", &a, AT_EMPTY_PATH));
    CHECK(123456, a.st_size);
    OK();
}
