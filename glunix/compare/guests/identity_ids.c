/* guest: user and group ids are the same from every call, /proc and files that are made
 * area: identity
 * source: credentials(7), proc(5) /proc/pid/status
 * calls: getuid, geteuid, getgid, getegid, getresuid, getgroups, fstat|newfstatat
 * also: static
 * broken-by: getuid:retval=4711
 */
#include "check.h"

static void from_proc(const char *key, int *out) {
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            QUIET(4, sscanf(line + strlen(key), "%d %d %d %d", out, out + 1, out + 2, out + 3));
    if (f)
        fclose(f);
}

int main(void) {
    int uids[4] = {-1}, gids[4] = {-1};
    uid_t r, e, s;
    from_proc("Uid:", uids);
    from_proc("Gid:", gids);
    HOLDS(getuid() == (uid_t)uids[0] && geteuid() == (uid_t)uids[1]);
    HOLDS(getgid() == (gid_t)gids[0] && getegid() == (gid_t)gids[1]);
    CHECK(0, getresuid(&r, &e, &s));
    HOLDS(r == getuid() && e == geteuid() && s == (uid_t)uids[2]);
    gid_t groups[1024];
    int n = getgroups(0, NULL);
    HOLDS(n >= 0 && getgroups(1024, groups) == n);
    if (n > 1)
        QUIET(-1, getgroups(n - 1, groups));
    struct stat made;
    QUIET(0, fstat(MUST(open("f", O_CREAT | O_WRONLY, 0600)), &made));
    HOLDS(made.st_uid == geteuid() && made.st_gid == getegid());
    pid_t pid = MUST(fork());
    if (pid == 0) {
        HOLDS(getuid() == r && geteuid() == e);
        _exit(0);
    }
    JOIN(pid);
    OK();
}
