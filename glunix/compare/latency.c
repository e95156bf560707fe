/* What one call costs: the median of many, timed one by one; needs a terminal as fd 0.
 *
 * Prints "ready data", on which 1,000 keys are to be typed, then a line "CALL NANOSECONDS" for each
 * call, the clock's own cost taken off, then "ok". getpid is a call that no policy asks for; uname
 * is what a host name is asked with; read takes one typed key; ioctl is FIONREAD on the terminal.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { KEYS = 1000, WARM = 20, BUDGET = 300000000 /* ns for one call's samples */ };

static double samples[KEYS];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static int up(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static long do_nothing(void) {
    return 0;
}

static long do_getpid(void) {
    return syscall(SYS_getpid);
}

static long do_uname(void) {
    struct utsname name;
    return uname(&name);
}

static long do_read(void) {
    char key;
    return read(0, &key, 1) == 1 ? 0 : -1;
}

static long do_ioctl(void) {
    int there;
    return ioctl(0, FIONREAD, &there);
}

static double median(long (*call)(void)) {
    double end = now() + BUDGET;
    int count = 0;
    for (int i = 0; i < KEYS; i++) {
        double start = now();
        if (call() < 0) {
            perror("the call");
            exit(1);
        }
        double after = now();
        if (i >= WARM)
            samples[count++] = after - start;
        if (after > end && count > 9)
            break;
    }
    qsort(samples, count, sizeof *samples, up);
    return samples[count / 2];
}

int main(void) {
    struct termios mode, raw;
    if (tcgetattr(0, &mode) < 0)
        return perror("tcgetattr"), 1;
    raw = mode;
    cfmakeraw(&raw);
    tcsetattr(0, TCSANOW, &raw);
    printf("ready data\r\n");
    fflush(stdout);
    double clock = median(do_nothing);
    double costs[] = {median(do_getpid), median(do_uname), median(do_ioctl), median(do_read)};
    static const char *const names[] = {"getpid", "uname", "ioctl", "read"};
    tcsetattr(0, TCSAFLUSH, &mode); /* keys that nobody read are not the shell's */
    for (int i = 0; i < 4; i++)
        printf("%s %.0f\n", names[i], costs[i] > clock ? costs[i] - clock : 0);
    printf("ok\n");
    return 0;
}
