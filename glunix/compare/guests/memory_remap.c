/* guest: mremap moves and grows, madvise and brk give zeroed memory back
 * area: memory
 * source: mremap(2), madvise(2), brk(2), mincore(2)
 * calls: mremap, madvise, brk, mincore
 * broken-by: madvise:retval=0
 */
#include "check.h"
#include <sys/mman.h>

int main(void) {
    int rw = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    char *a = MUST(mmap(NULL, 8192, rw, flags, -1, 0)), *b;
    strcpy(a, "content");
    a[8191] = 'z';
    b = MUST(mremap(a, 8192, 1 << 20, MREMAP_MAYMOVE));
    TEXT("content", b, 7);
    HOLDS(b[8191] == 'z' && b[8192] == 0 && b[(1 << 20) - 1] == 0);
    HOLDS(mremap(b, 1 << 20, 4096, 0) == b);
    unsigned char in_memory = 0;
    CHECK(0, mincore(b, 4096, &in_memory));
    CHECK(1, in_memory & 1);
    ERR(ENOMEM, mincore(b, 1 << 20, &in_memory));
    CHECK(0, madvise(b, 4096, MADV_DONTNEED));
    CHECK(0, b[0]);
    ERR(EINVAL, madvise(b, 4096, 9999));
    ERR(EFAULT, mremap((void *)4096, 4096, 8192, 0) == MAP_FAILED ? -1 : 0);
    char *end = sbrk(0);
    HOLDS(sbrk(8192) == end);
    end[0] = end[8191] = 'q';
    HOLDS(sbrk(-8192) == end + 8192);
    HOLDS(sbrk(4096) == end);
    CHECK(0, end[0]);
    OK();
}
