/* guest: a working directory of more than PATH_MAX bytes: its name is too long, its files are there
 * area: files
 * source: getcwd(2) ENAMETOOLONG, path_resolution(7)
 * calls: getcwd, openat
 * start: n=$(printf 'd%.0s' $(seq 200)); for i in $(seq 25); do mkdir $n; cd $n; done
 * broken-by: getcwd:retval=5
 */
#include "check.h"
int main(void) {
    char buf[4096];
    ERR(ENAMETOOLONG, syscall(SYS_getcwd, buf, sizeof buf));
    int fd = MUST(open("f", O_RDWR | O_CREAT | O_EXCL, 0600));
    CHECK(1, write(fd, "x", 1));
    CHECK(0, unlink("f"));
    CHECK(0, chdir(".."));
    ERR(ENAMETOOLONG, syscall(SYS_getcwd, buf, sizeof buf));
    OK();
}
