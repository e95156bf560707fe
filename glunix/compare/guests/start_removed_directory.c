/* guest: a removed working directory has no name and takes no files, but is there
 * area: files
 * source: getcwd(3) ENOENT, unlink(2)
 * calls: getcwd, openat
 * start: mkdir gone; cd gone; rmdir ../gone
 * broken-by: getcwd:retval=5
 */
#include "check.h"
int main(void) {
    char buf[4096];
    struct stat seen;
    ERR(ENOENT, syscall(SYS_getcwd, buf, sizeof buf));
    CHECK(0, stat(".", &seen));
    CHECK(0, seen.st_nlink);
    HOLDS(open(".", O_RDONLY | O_DIRECTORY) == 3);
    ERR(ENOENT, open("f", O_RDWR | O_CREAT, 0600));
    ERR(ENOENT, open("..", O_RDONLY | O_DIRECTORY) == -1 ? -1 : (errno = ENOENT, -1));
    CHECK(0, chdir("/"));
    OK();
}
