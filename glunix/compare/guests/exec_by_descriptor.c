/* guest: a program is run by descriptor: execveat, fexecve, a memfd, and a deleted file
 * area: exec
 * source: execveat(2), fexecve(3), memfd_create(2)
 * calls: execveat, memfd_create, sendfile, wait4
 * broken-by: execveat:error=EPERM
 */
#include "check.h"
#include <sys/mman.h>
#include <sys/sendfile.h>

extern char **environ;

static int start(int fd, const char *name, int flags) {
    char *argv[] = {"guest", "child", NULL};
    pid_t pid = MUST(fork());
    if (pid == 0) {
        syscall(SYS_execveat, fd, name, argv, environ, flags);
        _exit(errno);
    }
    return status_of(pid) >> 8;
}

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1)
        return 55;
    struct stat s;
    int self = MUST(open("/proc/self/exe", O_RDONLY)), dir = MUST(open(".", O_PATH));
    CHECK(55, start(self, "", AT_EMPTY_PATH));
    QUIET(0, fstat(self, &s));
    int copy = MUST(open("copy", O_CREAT | O_RDWR, 0700)), memory = MUST(memfd_create("m", 0));
    for (off_t at = 0; at < s.st_size;)
        MUST(sendfile(copy, self, &at, s.st_size));
    for (off_t at = 0; at < s.st_size;)
        MUST(sendfile(memory, self, &at, s.st_size));
    CHECK(ETXTBSY, start(copy, "", AT_EMPTY_PATH));
    close(copy);
    CHECK(55, start(dir, "copy", 0));
    MUST(symlink("copy", "link"));
    CHECK(55, start(dir, "link", 0));
    CHECK(ELOOP, start(dir, "link", AT_SYMLINK_NOFOLLOW));
    CHECK(ENOENT, start(dir, "missing", 0));
    CHECK(55, start(memory, "", AT_EMPTY_PATH));
    copy = MUST(open("copy", O_RDONLY));
    MUST(unlink("copy"));
    CHECK(55, start(copy, "", AT_EMPTY_PATH));
    OK();
}
