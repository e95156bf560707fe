/* guest: a file on fd 0 takes advice, read-ahead and syncing, and has a disk's limits
 * area: stdin
 * source: posix_fadvise(2), readahead(2), fpathconf(3)
 * calls: fadvise64, readahead, sync_file_range, fstatfs
 * start: printf abc >f; exec <f
 * broken-by: readahead:error=EINVAL
 */
#include "check.h"
#include <sys/statfs.h>

int main(void) {
    struct statfs here, of;
    CHECK(0, posix_fadvise(0, 0, 0, POSIX_FADV_SEQUENTIAL));
    CHECK(0, readahead(0, 0, 4096));
    CHECK(0, sync_file_range(0, 0, 0, SYNC_FILE_RANGE_WRITE));
    CHECK(0, fstatfs(0, &of));
    CHECK(0, statfs("f", &here));
    HOLDS(of.f_type == here.f_type && of.f_namelen == here.f_namelen);
    HOLDS(fpathconf(0, _PC_NAME_MAX) == pathconf("f", _PC_NAME_MAX));
    OK();
}
