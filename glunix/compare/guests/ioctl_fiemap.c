/* guest: an ioctl whose command does not tell how much memory it uses: the extents of a file
 * area: files
 * source: linux/Documentation/filesystems/fiemap.rst, ioctl(2)
 * calls: ioctl, mmap
 * stdin: file "abcdefghij"
 * broken-by: ioctl:error=EINVAL
 */
#include "check.h"
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/mman.h>

enum { EXTENTS = 400 };

int main(void) {
    /* At the end of a page, so that the extents lie on pages that only their number tells of. */
    char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOLDS(memory != MAP_FAILED);
    struct fiemap *map = (struct fiemap *)(memory + 4096 - sizeof *map);
    map->fm_length = FIEMAP_MAX_OFFSET;
    map->fm_flags = FIEMAP_FLAG_SYNC;
    map->fm_extent_count = EXTENTS;
    errno = 0;
    int got = ioctl(0, FS_IOC_FIEMAP, map);
    SAY("gives %d, %s", got, strerrorname_np(errno));
    if (got == 0) {
        HOLDS(map->fm_mapped_extents >= 1 && map->fm_mapped_extents <= EXTENTS);
        HOLDS(map->fm_extents[map->fm_mapped_extents - 1].fe_flags & FIEMAP_EXTENT_LAST);
        HOLDS(map->fm_extents[0].fe_logical == 0);
    } else {
        HOLDS(errno == EOPNOTSUPP || errno == ENOTTY);
    }
    map->fm_flags = 1 << 30;
    int expected = got == 0 ? EBADR : errno;
    errno = 0;
    HOLDS(ioctl(0, FS_IOC_FIEMAP, map) == -1 && errno == expected);
    OK();
}
