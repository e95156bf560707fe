/* guest: the umask clears mode bits of new files, and chmod is not touched by it
 * area: files
 * source: umask(2), chmod(2)
 * calls: umask, openat, mkdir, fchmod, chmod, fstat|newfstatat
 * broken-by: umask:retval=18:when=2+
 */
#include "check.h"

static unsigned mode(const char *name) {
    struct stat s;
    MUST(stat(name, &s));
    return s.st_mode & 07777;
}

int main(void) {
    umask(027);
    CHECK(027, umask(0077));
    int fd = MUST(open("a", O_CREAT | O_WRONLY, 0666));
    CHECK(0600, mode("a"));
    CHECK(0077, umask(0));
    close(MUST(open("b", O_CREAT | O_WRONLY, 0646)));
    CHECK(0646, mode("b"));
    umask(0352);
    MUST(mkdir("d", 0777));
    CHECK(0425, mode("d"));
    CHECK(0, fchmod(fd, 0751));
    CHECK(0751, mode("a"));
    CHECK(0, chmod("b", 01444));
    CHECK(01444, mode("b"));
    close(MUST(open("b", O_CREAT | O_RDONLY, 0777)));
    CHECK(01444, mode("b"));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(0352, umask(0));
        _exit(0);
    }
    JOIN(pid);
    CHECK(0352, umask(0));
    ERR(ENOENT, chmod("missing", 0));
    OK();
}
