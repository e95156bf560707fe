/* guest: clone's flags share what they name: descriptors, cwd, memory; tids are written and cleared
 * area: exec
 * source: clone(2)
 * calls: clone, clone3, wait4, chdir
 * broken-by: clone:error=EAGAIN
 */
#include "check.h"
#include <linux/sched.h>
#include <sched.h>

static char stack[65536] __attribute__((aligned(16)));
static volatile int shared;
static int parent_tid, child_tid, fd;

static int child(void *what) {
    (void)what;
    shared = 77;
    close(fd);
    return chdir("inside") ? 1 : 9;
}
static pid_t start(int flags) {
    shared = 0;
    fd = MUST(open("/dev/null", O_RDONLY));
    return MUST(clone(child, stack + sizeof stack, flags | SIGCHLD, NULL, &parent_tid, NULL, &child_tid));
}
static int in_it(void) { return access("here", F_OK) == 0; }

int main(void) {
    MUST(mkdir("inside", 0700));
    close(MUST(open("inside/here", O_CREAT | O_WRONLY, 0600)));
    pid_t pid = start(CLONE_PARENT_SETTID);
    HOLDS(parent_tid == pid);
    CHECK(9 << 8, status_of(pid));
    HOLDS(shared == 0 && fcntl(fd, F_GETFD) == 0 && !in_it());
    CHECK(9 << 8, status_of(start(CLONE_VM | CLONE_VFORK)));
    HOLDS(shared == 77 && fcntl(fd, F_GETFD) == 0 && !in_it());
    CHECK(9 << 8, status_of(start(CLONE_FILES)));
    HOLDS(shared == 0);
    ERR(EBADF, fcntl(fd, F_GETFD));
    CHECK(9 << 8, status_of(start(CLONE_FS)));
    HOLDS(in_it());
    MUST(chdir(".."));
    child_tid = -1;
    pid = start(CLONE_VM | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID);
    CHECK(9 << 8, status_of(pid));
    CHECK(0, child_tid);
    ERR(EINVAL, syscall(SYS_clone, CLONE_THREAD, NULL, NULL, NULL, NULL));
    ERR(EINVAL, syscall(SYS_clone, CLONE_SIGHAND, NULL, NULL, NULL, NULL));
    int pidfd = -1;
    struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)&pidfd, .exit_signal = SIGCHLD};
    pid = MUST(syscall(SYS_clone3, &args, sizeof args));
    if (pid == 0)
        _exit(8);
    CHECK(1, waits_for(pidfd, POLLIN, 10000));
    CHECK(8 << 8, status_of(pid));
    ERR(EINVAL, syscall(SYS_clone3, &args, 8));
    OK();
}
