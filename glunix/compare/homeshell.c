/* The part of a shell that the conformance runner needs: a session, a job, its job control.
 *
 * usage: homeshell REPORT CONTROL TTY -- COMMAND...
 * REPORT, CONTROL and TTY are descriptor numbers (TTY -1: no controlling terminal); the command
 * gets descriptors 0, 1, 2 as they are.  The command leads its own process group in the session
 * of this process, in the foreground of TTY, so that it is placed as under an interactive shell:
 * not a session leader, its group not orphaned.
 *
 * REPORT lines: "stopped SIG", "continued", "exited CODE", "killed SIG", then "left N": how many
 * processes the command left behind (they are killed).
 * CONTROL lines: "fg", "bg", "signal SIG" (to the command's process), "group SIG" (to its group).
 * End of file on CONTROL ends everything: what is left is killed.
 * See credentials(7), tcsetpgrp(3), prctl(2) PR_SET_CHILD_SUBREAPER.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GRACE_MS = 500 };

static int report_fd, control_fd, tty_fd, signal_fd;
static pid_t job;
static int job_over;

static void die(const char *what) {
    dprintf(report_fd, "error %s: %s\n", what, strerror(errno));
    _exit(2);
}

static long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void foreground(pid_t group) {
    if (tty_fd >= 0)
        tcsetpgrp(tty_fd, group); /* fails after a hangup: then there is nothing to give */
}

static void report(int status) {
    if (WIFSTOPPED(status)) {
        foreground(getpgrp());
        dprintf(report_fd, "stopped %d\n", WSTOPSIG(status));
    } else if (WIFCONTINUED(status)) {
        dprintf(report_fd, "continued\n");
    } else {
        job_over = 1;
        foreground(getpgrp());
        if (WIFEXITED(status))
            dprintf(report_fd, "exited %d\n", WEXITSTATUS(status));
        else
            dprintf(report_fd, "killed %d\n", WTERMSIG(status));
    }
}

/* Reaps what changed; returns 0 when no child is left. */
static int reap(void) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0)
        if (pid == job && !job_over)
            report(status);
    return pid == 0;
}

static void take_signal(int timeout_ms) {
    struct pollfd p = {signal_fd, POLLIN, 0};
    struct signalfd_siginfo info;
    if (poll(&p, 1, timeout_ms) != 1)
        return;
    if (read(signal_fd, &info, sizeof info) < 0)
        die("read signalfd");
    if (info.ssi_signo == SIGHUP && !job_over) /* to a session's leader only: it tells its jobs */
        kill(-job, SIGHUP);
}

/* Kills every child (orphans come to us, a subreaper) until none is left. */
static int kill_rest(void) {
    int killed = 0;
    while (reap()) {
        FILE *f = fopen("/proc/thread-self/children", "r");
        int pid;
        if (!f)
            die("/proc/thread-self/children");
        while (fscanf(f, "%d", &pid) == 1 && kill(pid, SIGKILL) == 0)
            killed++;
        fclose(f);
        take_signal(100);
    }
    return killed;
}

static void obey(char *line) {
    int number = 0;
    if (strcmp(line, "fg") == 0) {
        foreground(job);
        kill(-job, SIGCONT);
    } else if (strcmp(line, "bg") == 0) {
        kill(-job, SIGCONT);
    } else if (sscanf(line, "signal %d", &number) == 1) {
        kill(job, number);
    } else if (sscanf(line, "group %d", &number) == 1) {
        kill(-job, number);
    } else {
        dprintf(report_fd, "error bad control line\n");
    }
}

/* Returns 0 at end of file. */
static int take_control(void) {
    static char text[256];
    static size_t have;
    ssize_t n = read(control_fd, text + have, sizeof text - 1 - have);
    if (n <= 0)
        return 0;
    have += n;
    text[have] = 0;
    char *end;
    while ((end = strchr(text, '\n'))) {
        *end = 0;
        obey(text);
        have -= end + 1 - text;
        memmove(text, end + 1, have + 1);
    }
    return 1;
}

static void start(char **argv) {
    job = fork();
    if (job < 0)
        die("fork");
    if (job == 0) {
        setpgid(0, 0);
        foreground(getpid());
        struct rlimit core;
        getrlimit(RLIMIT_CORE, &core);
        core.rlim_cur = 0; /* some guests die of SIGSEGV on purpose */
        setrlimit(RLIMIT_CORE, &core);
        sigset_t none; /* whatever the one who started the tests ignores or blocks */
        sigemptyset(&none);
        for (int sig = 1; sig <= SIGRTMAX; sig++)
            signal(sig, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execvp(argv[0], argv);
        fprintf(stderr, "homeshell: %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    setpgid(job, job);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++) /* the ends of the job's streams must be the job's alone */
        dup2(null, fd);
}

int main(int argc, char **argv) {
    if (argc < 6)
        return 2;
    report_fd = atoi(argv[1]);
    control_fd = atoi(argv[2]);
    tty_fd = atoi(argv[3]);
    fcntl(report_fd, F_SETFD, FD_CLOEXEC);
    fcntl(control_fd, F_SETFD, FD_CLOEXEC);
    if (setsid() < 0)
        die("setsid");
    if (tty_fd >= 0) {
        if (ioctl(tty_fd, TIOCSCTTY, 0) < 0)
            die("TIOCSCTTY");
        if (tty_fd > 2)
            fcntl(tty_fd, F_SETFD, FD_CLOEXEC);
        else
            tty_fd = fcntl(tty_fd, F_DUPFD_CLOEXEC, 10);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGPIPE, SIG_IGN);
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGCHLD);
    sigaddset(&ours, SIGHUP); /* the terminal may hang up: this process still has to report */
    sigaddset(&ours, SIGTTOU);
    sigprocmask(SIG_BLOCK, &ours, NULL);
    sigdelset(&ours, SIGTTOU);
    signal_fd = signalfd(-1, &ours, SFD_CLOEXEC);
    start(argv + 5);

    while (!job_over) {
        struct pollfd p[2] = {{signal_fd, POLLIN, 0}, {control_fd, POLLIN, 0}};
        poll(p, 2, -1);
        if (p[0].revents) {
            take_signal(0);
            reap();
        }
        if (p[1].revents && !take_control()) {
            kill_rest();
            return 3;
        }
    }
    for (long end = now_ms() + GRACE_MS; reap() && now_ms() < end;)
        take_signal(end - now_ms() > 0 ? end - now_ms() : 0);
    dprintf(report_fd, "left %d\n", kill_rest());
    while (take_control()) /* the terminal hangs up when its leader goes: wait until it is drained */
        ;
    return 0;
}
