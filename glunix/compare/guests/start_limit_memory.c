/* guest: a caller's limit of address space is the program's: more is ENOMEM
 * area: memory
 * source: getrlimit(2) RLIMIT_AS, mmap(2)
 * calls: prlimit64|getrlimit, mmap
 * start: ulimit -v 60000
 * broken-by: prlimit64:error=EPERM
 */
#include "check.h"
#include <sys/mman.h>
#include <sys/resource.h>

int main(void) {
    struct rlimit limit;
    CHECK(0, getrlimit(RLIMIT_AS, &limit));
    CHECK(60000L << 10, limit.rlim_cur);
    HOLDS(MAP_FAILED != mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ERR(ENOMEM, (long)mmap(NULL, 64 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    OK();
}
