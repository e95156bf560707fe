/* inotify: watches keep their numbers, and see what happens afterwards. */
#include "guest.h"
#include <sys/inotify.h>
static void guest(void)
{
	int fd = inotify_init1(IN_NONBLOCK);
	mkdir("watched", 0700);
	mkdir("other", 0700);
	int gone = inotify_add_watch(fd, "other", IN_CREATE);
	int kept = inotify_add_watch(fd, "watched", IN_CREATE | IN_DELETE);
	inotify_rm_watch(fd, gone);
	char buffer[4096];
	check(read(fd, buffer, sizeof buffer) > 0);
	barrier();
	check(read(fd, buffer, sizeof buffer) < 0 && errno == EAGAIN);
	close(open("watched/new", O_CREAT | O_WRONLY, 0600));
	check(read(fd, buffer, sizeof buffer) > 0);
	struct inotify_event *e = (void *)buffer;
	check(e->wd == kept && e->mask & IN_CREATE && strcmp(e->name, "new") == 0);
	check(inotify_rm_watch(fd, kept) == 0);
}
