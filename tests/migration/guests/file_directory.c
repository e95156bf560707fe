/* A directory being read, the working folder and the umask. */
#include "guest.h"
#include <dirent.h>
static void guest(void)
{
	check(mkdir("folder", 0700) == 0 && chdir("folder") == 0);
	for (int i = 0; i < 30; i++) {
		char name[8];
		snprintf(name, sizeof name, "f%d", i);
		close(open(name, O_CREAT | O_WRONLY, 0600));
	}
	umask(027);
	int fd = open(".", O_RDONLY | O_DIRECTORY);
	char buffer[256];
	int seen = 0;
	long n = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
	check(n > 0);
	for (long at = 0; at < n; at += *(unsigned short *)(buffer + at + 16))
		seen++;
	barrier();
	while ((n = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
		for (long at = 0; at < n; at += *(unsigned short *)(buffer + at + 16))
			seen++;
	check(n == 0 && seen == 32);
	int made = open("made", O_CREAT | O_WRONLY, 0666);
	struct stat st;
	check(made >= 0 && fstat(made, &st) == 0 && (st.st_mode & 0777) == 0640);
	char cwd[4096];
	check(getcwd(cwd, sizeof cwd) && strcmp(strrchr(cwd, '/'), "/folder") == 0);
}
