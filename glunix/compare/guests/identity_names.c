/* guest: uname, gethostname, /proc/sys/kernel and the hostname command agree
 * area: identity
 * source: uname(2), gethostname(2), proc(5)
 * calls: uname, openat, read
 * also: static
 * broken-by: uname:retval=0:when=2+
 */
#include "check.h"
#include <sys/utsname.h>

static void kernel(const char *name, char *text, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/sys/kernel/%s", name);
    int fd = MUST(open(path, O_RDONLY));
    ssize_t n = MUST(read(fd, text, size - 1));
    text[n > 0 ? n - 1 : 0] = 0; /* without the newline */
    close(fd);
}

int main(void) {
    struct utsname u, again;
    char text[256] = "", small[2];
    memset(&u, 0, sizeof u);
    memset(&again, 1, sizeof again);
    CHECK(0, uname(&u));
    HOLDS(u.nodename[0] != 0);
    CHECK(0, gethostname(text, sizeof text));
    HOLDS(strcmp(text, u.nodename) == 0);
    kernel("hostname", text, sizeof text);
    HOLDS(strcmp(text, u.nodename) == 0);
    kernel("domainname", text, sizeof text);
    HOLDS(strcmp(text, u.domainname) == 0);
    kernel("osrelease", text, sizeof text);
    HOLDS(strcmp(text, u.release) == 0);
    kernel("ostype", text, sizeof text);
    HOLDS(strcmp(text, u.sysname) == 0 && strcmp(text, "Linux") == 0);
    ERR(ENAMETOOLONG, gethostname(small, 1));
    ERR(EFAULT, syscall(SYS_uname, -4096L));
    pid_t pid = MUST(fork());
    if (pid == 0) {
        CHECK(0, uname(&again));
        HOLDS(strcmp(again.nodename, u.nodename) == 0);
        _exit(0);
    }
    JOIN(pid);
    FILE *p = popen("uname -n", "r");
    HOLDS(p && fscanf(p, "%255s", text) == 1 && strcmp(text, u.nodename) == 0);
    CHECK(0, pclose(p));
    OK();
}
