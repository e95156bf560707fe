/* A deleted file open twice: bytes, offsets, one file. */
#include "guest.h"
static void guest(void)
{
	int fd = open("deleted.data", O_RDWR | O_CREAT | O_TRUNC, 0640);
	int second = open("deleted.data", O_RDONLY);
	check(write(fd, "deleted but open", 16) == 16);
	check(lseek(fd, 100000, SEEK_SET) == 100000 && write(fd, "far", 3) == 3);
	check(unlink("deleted.data") == 0);
	lseek(second, 8, SEEK_SET);
	barrier();
	char back[16] = "";
	check(read(second, back, 8) == 8 && memcmp(back, "but open", 8) == 0);
	check(pread(second, back, 3, 100000) == 3 && memcmp(back, "far", 3) == 0);
	check(lseek(fd, 0, SEEK_CUR) == 100003);
	check(pwrite(fd, "D", 1, 0) == 1 && pread(second, back, 1, 0) == 1 && back[0] == 'D');
	struct stat a, b;
	check(fstat(fd, &a) == 0 && fstat(second, &b) == 0);
	check(a.st_ino == b.st_ino && a.st_nlink == 0 && (a.st_mode & 0777) == 0640);
	check(access("deleted.data", F_OK) < 0);
}
