/* guest: ioctls of a file as stdin: its size, flags, blocks; wrong ones and wrong memory
 * area: files
 * source: ioctl(2), ioctl_fs(2), FS_IOC_GETFLAGS(2const), ioctl_fiemap of linux/Documentation
 * calls: ioctl, lseek, mmap, mprotect
 * stdin: file "abcdefghij"
 * also: static
 * broken-by: ioctl:error=EINVAL:when=3
 * broken-by: ioctl:retval=0:when=3
 */
#include "check.h"
#include <linux/fs.h>
#include <sys/mman.h>
#include <termios.h>

#define TRY(call)                                                                                  \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long got_ = (long)(call);                                                                  \
        SAY("%s gives %ld, %s", #call, got_, strerrorname_np(errno));                              \
    } while (0)

int main(void) {
    int n = -1, flags = -1;
    unsigned long blocks = 77;
    long long size = -1;
    struct termios t;
    CHECK(0, ioctl(0, FIONREAD, &n));
    HOLDS(n == 10);
    CHECK(3, lseek(0, 3, SEEK_SET));
    CHECK(0, ioctl(0, FIONREAD, &n));
    HOLDS(n == 7);
    CHECK(0, ioctl(0, FIOQSIZE, &size));
    HOLDS(size >= 0); /* what is allocated: later, on some file systems */
    CHECK(0, ioctl(0, FIGETBSZ, &n));
    SAY("blocks of %d", n);
    TRY(ioctl(0, FS_IOC_GETFLAGS, &flags));
    SAY("flags %#x", flags);
    TRY(ioctl(0, FS_IOC_GETVERSION, &flags) > 0);
    struct fsxattr x;
    memset(&x, 0xee, sizeof x);
    TRY(ioctl(0, FS_IOC_FSGETXATTR, &x));
    SAY("xflags %#x, extsize %u", x.fsx_xflags, x.fsx_extsize);
    TRY(ioctl(0, FIBMAP, NULL));
    ERR(ENOTTY, ioctl(0, TCGETS, &t));
    ERR(ENOTTY, ioctl(0, TIOCGLCKTRMIOS, &t));
    ERR(ENOTTY, ioctl(0, BLKGETSIZE, &blocks));
    ERR(ENOTTY, ioctl(0, BLKGETSIZE64, &size));
    HOLDS(blocks == 77);
    ERR(ENOTTY, ioctl(0, 0x12345678, 5));
    ERR(ENOTTY, ioctl(0, 0xdeadbeef, &n));
    ERR(EFAULT, ioctl(0, FIOQSIZE, NULL));
    ERR(EFAULT, ioctl(0, FIOQSIZE, 1L));
    /* An answer that ends where memory ends, one that goes beyond, one into what is read-only. */
    long page = sysconf(_SC_PAGESIZE);
    char *two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOLDS(two != MAP_FAILED);
    MUST(mprotect(two + page, page, PROT_NONE));
    memset(two + page - 8, 0xff, 8);
    CHECK(0, ioctl(0, FIOQSIZE, two + page - 8));
    size = -1;
    HOLDS(memcmp(two + page - 8, &size, 8) != 0);
    ERR(EFAULT, ioctl(0, FIOQSIZE, two + page - 4));
    MUST(mprotect(two, page, PROT_READ));
    ERR(EFAULT, ioctl(0, FIGETBSZ, two));
    CHECK(3, lseek(0, 0, SEEK_CUR));
    OK();
}
