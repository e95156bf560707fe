/* guest: a pidfd is readable when the process ends, sends signals, and its descriptors can be had
 * area: readiness
 * source: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2)
 * calls: pidfd_open, pidfd_send_signal, poll, wait4
 * broken-by: pidfd_send_signal:error=EPERM
 */
#include "check.h"

int main(void) {
    pid_t pid = idle_child();
    int fd = MUST(syscall(SYS_pidfd_open, pid, 0));
    CHECK(FD_CLOEXEC, fcntl(fd, F_GETFD));
    CHECK(0, waits_for(fd, POLLIN, 0));
    CHECK(0, syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    CHECK(0, syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
    CHECK(1, waits_for(fd, POLLIN, 10000));
    CHECK(SIGTERM, status_of(pid));
    ERR(ESRCH, syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
    CHECK(1, waits_for(fd, POLLIN, 0));
    ERR(EINVAL, syscall(SYS_pidfd_open, pid, 99));
    ERR(ESRCH, syscall(SYS_pidfd_open, 0x3fffffff, 0));
    ERR(EINVAL, syscall(SYS_pidfd_open, -1, 0));
    ERR(EBADF, syscall(SYS_pidfd_send_signal, 0, SIGTERM, NULL, 0));
    OK();
}
