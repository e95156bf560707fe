/* Offsets shared by dup and by fork, and not by two opens. */
#include "guest.h"
static void guest(void)
{
	int fd = open("offsets.data", O_RDWR | O_CREAT | O_TRUNC, 0600), twin = dup(fd);
	check(write(fd, "0123456789", 10) == 10);
	int alone = open("offsets.data", O_RDONLY);
	lseek(fd, 3, SEEK_SET);
	lseek(alone, 7, SEEK_SET);
	int p[2];
	check(pipe(p) == 0);
	pid_t child = fork();
	if (!child) {
		char c;
		close(p[1]);
		if (read(p[0], &c, 1) != 0)
			_exit(1);
		_exit(lseek(fd, 2, SEEK_CUR) == 6 ? 0 : 2);
	}
	close(p[0]);
	barrier();
	char c;
	check(read(twin, &c, 1) == 1 && c == '3');
	check(lseek(fd, 0, SEEK_CUR) == 4);
	check(read(alone, &c, 1) == 1 && c == '7');
	close(p[1]);
	int status;
	check(waitpid(child, &status, 0) == child && status == 0);
	check(lseek(twin, 0, SEEK_CUR) == 6);
}
