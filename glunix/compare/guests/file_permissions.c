/* guest: an unprivileged process is refused what the mode bits do not give it
 * area: files
 * source: path_resolution(7), chown(2), setresuid(2)
 * calls: setresuid, setresgid, setgroups, openat, chown, faccessat|access, unlink
 * needs: root
 * broken-by: setresuid:retval=0
 */
#include "check.h"
#include <grp.h>

int main(void) {
    umask(0);
    MUST(chmod(".", 0777));
    MUST(mkdir("closed", 0711));
    MUST(mkdir("sticky", 01777));
    close(MUST(open("secret", O_CREAT | O_WRONLY, 0600)));
    close(MUST(open("public", O_CREAT | O_WRONLY, 0644)));
    close(MUST(open("closed/known", O_CREAT | O_WRONLY, 0644)));
    close(MUST(open("sticky/theirs", O_CREAT | O_WRONLY, 0666)));
    int dir = MUST(open(".", O_RDONLY)); /* folders above may be closed to the child */
    pid_t pid = MUST(fork());
    if (pid == 0) {
        MUST(setgroups(0, NULL));
        CHECK(0, setresgid(65534, 65534, 65534));
        CHECK(0, setresuid(65534, 65534, 65534));
        MUST(fchdir(dir));
        ERR(EACCES, open("secret", O_RDONLY));
        ERR(EACCES, open("public", O_WRONLY));
        CHECK(0, close(open("public", O_RDONLY)));
        ERR(EACCES, open("closed", O_RDONLY));
        CHECK(0, close(open("closed/known", O_RDONLY)));
        ERR(EACCES, open("closed/new", O_CREAT | O_WRONLY, 0600));
        ERR(EPERM, unlink("sticky/theirs"));
        ERR(EPERM, chmod("public", 0666));
        ERR(EPERM, chown("public", 65534, 65534));
        ERR(EACCES, access("secret", R_OK));
        ERR(EPERM, setuid(0));
        struct stat s;
        close(MUST(open("mine", O_CREAT | O_WRONLY, 0600)));
        QUIET(0, stat("mine", &s));
        CHECK(65534, s.st_uid);
        _exit(0);
    }
    JOIN(pid);
    CHECK(0, close(open("secret", O_RDWR)));
    OK();
}
