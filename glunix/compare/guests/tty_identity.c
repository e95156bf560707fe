/* guest: stdin, stdout and stderr are one and the same terminal, and /dev/tty is it too
 * area: tty
 * source: isatty(3), ttyname(3), tty(4), ctermid(3)
 * calls: ioctl, fstat|newfstatat, openat, readlink
 * needs: tty
 * also: static
 * broken-by: ioctl:error=ENOTTY:when=3+
 */
#include "check.h"
#include <termios.h>

int main(void) {
    char name[3][128], term[L_ctermid];
    struct stat s[3], by_name;
    for (int fd = 0; fd < 3; fd++) {
        QUIET(1, isatty(fd));
        QUIET(0, ttyname_r(fd, name[fd], sizeof name[fd]));
        QUIET(0, fstat(fd, &s[fd]));
        QUIET(1, S_ISCHR(s[fd].st_mode));
    }
    HOLDS(strcmp(name[0], name[1]) == 0 && strcmp(name[1], name[2]) == 0);
    HOLDS(s[0].st_rdev == s[1].st_rdev && s[1].st_rdev == s[2].st_rdev);
    CHECK(0, stat(name[0], &by_name));
    HOLDS(by_name.st_rdev == s[0].st_rdev && by_name.st_ino == s[0].st_ino);
    HOLDS(strcmp(ctermid(term), "/dev/tty") == 0);
    int tty = MUST(open("/dev/tty", O_RDWR));
    CHECK(1, isatty(tty));
    CHECK(tcgetsid(0), tcgetsid(tty));
    int p[2];
    MUST(pipe(p));
    CHECK(0, isatty(p[0]));
    ERR(ENOTTY, ioctl(p[0], TIOCGWINSZ, &s));
    CHECK(ENOTTY, ttyname_r(p[0], name[0], sizeof name[0]));
    CHECK(0, isatty(-1));
    ERR(ESPIPE, lseek(0, 0, SEEK_CUR));
    CHECK(9, write(tty, "dev/tty\r\n", 9));
    OK();
}
