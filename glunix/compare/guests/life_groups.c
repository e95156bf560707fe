/* guest: the supplementary groups are the caller's, by the call and in /proc
 * area: identity
 * source: getgroups(2), proc(5)
 * calls: getgroups
 * broken-by: getgroups:error=EINVAL
 */
#include "check.h"
int main(void) {
    gid_t groups[64];
    int count = MUST(getgroups(64, groups));
    char line[512];
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "Groups:", 7)) printf("%s", line);
    for (int i = 0; i < count; i++) printf("group %d\n", (int)groups[i]);
    CHECK(0, setegid(getgid()));
    HOLDS(getgroups(0, NULL) == count);
    if (count > 0) ERR(EINVAL, getgroups(-1, groups));
    OK();
}
