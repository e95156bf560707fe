/* guest: a signalfd gives blocked signals with their senders and values, and is pollable
 * area: readiness
 * source: signalfd(2)
 * calls: signalfd4, read, poll, kill, rt_sigqueueinfo
 * broken-by: signalfd4:retval=1
 */
#include "check.h"
#include <sys/signalfd.h>

int main(void) {
    sigset_t set;
    struct signalfd_siginfo info[4];
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    int fd = MUST(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    ERR(EAGAIN, read(fd, info, sizeof info));
    CHECK(0, waits_for(fd, POLLIN, 0));
    MUST(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 321}));
    CHECK(1, waits_for(fd, POLLIN, 0));
    CHECK(sizeof info[0], read(fd, info, sizeof info));
    HOLDS(info[0].ssi_signo == SIGUSR1 && info[0].ssi_int == 321 && info[0].ssi_code == SI_QUEUE);
    HOLDS(info[0].ssi_pid == (uint32_t)getpid() && info[0].ssi_uid == getuid());
    pid_t pid = MUST(fork());
    if (pid == 0)
        _exit(7);
    CHECK(1, waits_for(fd, POLLIN, 10000));
    CHECK(sizeof info[0], read(fd, info, sizeof info));
    HOLDS(info[0].ssi_signo == SIGCHLD && info[0].ssi_pid == (uint32_t)pid);
    HOLDS(info[0].ssi_status == 7 && info[0].ssi_code == CLD_EXITED);
    CHECK(7 << 8, status_of(pid));
    MUST(kill(getpid(), SIGUSR1));
    MUST(kill(getpid(), SIGUSR1));
    CHECK(sizeof info[0], read(fd, info, sizeof info)); /* merged */
    ERR(EINVAL, read(fd, info, 10));
    sigemptyset(&set);
    CHECK(fd, signalfd(fd, &set, 0));
    MUST(kill(getpid(), SIGUSR1));
    ERR(EAGAIN, read(fd, info, sizeof info));
    OK();
}
