/* guest: when a group with stopped members becomes orphaned it gets SIGHUP and SIGCONT
 * area: groups
 * source: setpgid(2) NOTES, POSIX.1-2017 _exit Consequences of Process Termination
 * calls: setpgid, setsid, tgkill, wait4, prctl
 * broken-by: setsid:error=EPERM
 */
#include "check.h"

static int out;
static volatile sig_atomic_t hups, conts;
static void note(int sig) { sig == SIGHUP ? hups++ : conts++; }

/* In a group of its own, whose only tie to its session is its parent, who leaves. */
static void orphan(void) {
    on_signal(SIGHUP, note, 0);
    on_signal(SIGCONT, note, 0);
    MUST(setpgid(0, 0));
    raise(SIGSTOP);
    for (long end = now_ms() + 10000; (!hups || !conts) && now_ms() < end;)
        poll(NULL, 0, 5);
    char line[64];
    int n = snprintf(line, sizeof line, "hups %d conts %d", hups, conts);
    QUIET(n, write(out, line, n));
    _exit(0);
}

int main(void) {
    int p[2], status;
    char buf[64];
    MUST(pipe(p));
    out = p[1];
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1)); /* so that nothing is left behind */
    pid_t leader = MUST(fork());
    if (leader == 0) {
        MUST(setsid());
        pid_t middle = MUST(fork());
        if (middle == 0) {
            pid_t pid = MUST(fork());
            if (pid == 0)
                orphan();
            QUIET(pid, waitpid(pid, &status, WUNTRACED));
            QUIET(1, WIFSTOPPED(status));
            _exit(0); /* from here on the group is orphaned */
        }
        JOIN(middle);
        QUIET(1, waits_for(p[0], POLLIN, 10000)); /* the session stays meanwhile */
        _exit(0);
    }
    JOIN(leader);
    ssize_t n = read(p[0], buf, sizeof buf);
    TEXT("hups 1 conts 1", buf, n);
    HOLDS(waitpid(-1, &status, 0) > 0 && status == 0);
    OK();
}
