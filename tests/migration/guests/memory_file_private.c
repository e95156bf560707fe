/* A private mapping of a file: changed pages are the program's, the others the file's. */
#include "guest.h"
static void guest(void)
{
	int fd = open("private.data", O_RDWR | O_CREAT | O_TRUNC, 0600);
	char page[4096];
	for (int i = 0; i < 4; i++) {
		memset(page, 'a' + i, sizeof page);
		check(write(fd, page, sizeof page) == sizeof page);
	}
	char *m = mmap(0, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	close(fd);
	m[4096] = 'X';
	check(mprotect(m + 8192, 4096, PROT_READ) == 0);
	barrier();
	check(m[0] == 'a' && m[4096] == 'X' && m[4097] == 'b' && m[8192] == 'c' && m[12288] == 'd');
	m[12288] = 'Y';
	fd = open("private.data", O_RDONLY);
	check(pread(fd, page, 1, 4096) == 1 && page[0] == 'b');
	check(pread(fd, page, 1, 12288) == 1 && page[0] == 'd');
}
