/* guest: /proc is mounted as at home, and is the caller's own
 * area: identity
 * source: proc(5), statvfs(3)
 * calls: statfs
 * broken-by: statfs:error=EIO
 */
#include "check.h"
#include <sys/statvfs.h>

int main(void) {
    struct statvfs found;
    char link[32] = "", own[32];
    CHECK(0, statvfs("/proc", &found));
    printf("nosuid %d nodev %d noexec %d relatime %d noatime %d\n", !!(found.f_flag & ST_NOSUID),
           !!(found.f_flag & ST_NODEV), !!(found.f_flag & ST_NOEXEC), !!(found.f_flag & ST_RELATIME),
           !!(found.f_flag & ST_NOATIME));
    MUST(readlink("/proc/self", link, sizeof link - 1));
    snprintf(own, sizeof own, "%d", getpid());
    HOLDS(strcmp(link, own) == 0);
    OK();
}
