/* guest: below a directory that forbids it, the working directory can be used
 * area: files
 * source: path_resolution(7), getcwd(2)
 * calls: getcwd, openat
 * start: mkdir -p a/b; cd a/b; chmod 0 ..
 * broken-by: openat:error=EACCES:when=3+
 */
#include "check.h"
int main(void) {
    char buf[4096];
    HOLDS(syscall(SYS_getcwd, buf, sizeof buf) > 4);
    HOLDS(!strcmp(strrchr(buf, '/'), "/b"));
    int fd = MUST(open("f", O_RDWR | O_CREAT | O_EXCL, 0600));
    CHECK(1, write(fd, "x", 1));
    CHECK(0, unlink("f"));
    struct stat seen;
    CHECK(0, stat("..", &seen));
    CHECK(0, seen.st_mode & 0777);
    int above = open("../b", O_RDONLY);
    printf("by its name: %s\n", above < 0 ? strerrorname_np(errno) : "opened");
    CHECK(0, chmod("..", 0700));
    OK();
}
