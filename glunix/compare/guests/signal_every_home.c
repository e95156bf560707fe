/* guest: signals that a user sends by name reach a program that handles them
 * area: signals
 * source: kill(1), signal(7)
 * calls: rt_sigaction, rt_sigsuspend
 * on: sHUP -> signal HUP
 * on: sQUIT -> signal QUIT
 * on: sILL -> signal ILL
 * on: sABRT -> signal ABRT
 * on: sFPE -> signal FPE
 * on: sSEGV -> signal SEGV
 * on: sALRM -> signal ALRM
 * on: sPOLL -> signal IO
 * on: sPROF -> signal PROF
 * on: sSYS -> signal SYS
 * on: sPWR -> signal PWR
 * on: sURG -> signal URG
 * on: sXCPU -> signal XCPU
 * on: sVTALRM -> signal VTALRM
 * broken-by: rt_sigsuspend:error=EINTR:when=3
 */
#include "check.h"
static volatile sig_atomic_t last;
static void take(int sig) { last = sig; }

int main(void) {
    static const int sent[] = {SIGHUP, SIGQUIT, SIGILL, SIGABRT, SIGFPE, SIGSEGV, SIGALRM, SIGIO,
                               SIGPROF, SIGSYS, SIGPWR, SIGURG, SIGXCPU, SIGVTALRM};
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    MUST(sigprocmask(SIG_SETMASK, &all, NULL));
    for (unsigned i = 0; i < sizeof sent / sizeof *sent; i++) {
        char word[16] = "s";
        strcat(word, sigabbrev_np(sent[i]));
        on_signal(sent[i], take, 0);
        last = 0;
        READY(word);
        sigsuspend(&none);
        QUIET(sent[i], last);
    }
    OK();
}
