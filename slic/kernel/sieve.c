/* Waiting for caught calls, and letting those through that concern nobody: slic/kernel/sieve.py.
 *
 * poll(2) for a supervisor. A notification (seccomp_unotify(2)) whose descriptor leads to none of
 * the objects that the policy knows is answered here, and the wait goes on; what is left is handed
 * out. Python does the same without this, in twice the processor time (docs/costs.md), and what it
 * touches in the caches belongs to the programs that compute on the same core. */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long long u64;
typedef unsigned int u32;

struct notification { u64 id; u32 pid, flags; int nr; u32 arch; u64 ip, args[6]; };
struct response { u64 id; long long value; int error; u32 flags; };

#define RECEIVE _IOWR('!', 0, struct notification)
#define SEND _IOWR('!', 1, struct response)
#define SET_FLAGS _IOW('!', 4, u64)

enum { CALLS = 1024, WAITING = 16, NOTED = 128, CONTINUE = 1, SYNC_WAKE_UP = 1 };

struct object { u64 device, inode; };

struct sieve {
	signed char about[CALLS];	/* the argument that is a descriptor; -1: hand the call out */
	const struct object *objects;
	const u64 *devices;
	u32 object_count, device_count;
	u32 kinds;			/* bits by S_IFMT >> 12 */
	u32 waiting_count;		/* above WAITING: everybody */
	u32 waiting[WAITING];		/* threads whose calls are handed out, whatever they are about */
	int listener;
	int sync;			/* SYNC_WAKE_UP is set on the listener */
	long rests;			/* voluntary switches of this thread at the last notification */
	int elsewhere;			/* the last one came from another core */
	int caught;			/* `call` is to be taken */
	int budgeted;			/* the call that may go on unseen so often; below 0: none */
	u32 budget, noted_count;
	u32 group, but;			/* whose: members of this group, but not this thread */
	u32 noted[NOTED];		/* threads whose calls went on so */
	struct notification call;
};

/* Whether this call may go on at the expense of the budget; who has made it is noted. */
static int within_budget(struct sieve *s, const struct notification *call)
{
	if (call->nr != s->budgeted || !s->budget || s->noted_count >= NOTED || call->pid == s->but)
		return 0;
	if (getpgid((pid_t)call->pid) != (pid_t)s->group)
		return 0;
	s->budget--;
	s->noted[s->noted_count++] = call->pid;
	return 1;
}

static int concerns(struct sieve *s, const struct notification *call)
{
	struct stat seen;
	char path[48];
	u32 at;

	if (s->waiting_count > WAITING)
		return 1;
	for (at = 0; at < s->waiting_count; at++)
		if (s->waiting[at] == call->pid)
			return 1;
	if (within_budget(s, call))
		return 0;
	if (call->nr < 0 || call->nr >= CALLS || s->about[call->nr] < 0)
		return 1;
	snprintf(path, sizeof path, "/proc/%u/fd/%u", call->pid, (u32)call->args[s->about[call->nr]]);
	if (stat(path, &seen) != 0)
		return 1;
	if (s->kinds >> ((seen.st_mode & S_IFMT) >> 12) & 1)
		return 1;
	for (at = 0; at < s->device_count; at++)
		if (s->devices[at] == seen.st_rdev)
			return 1;
	for (at = 0; at < s->object_count; at++)
		if (s->objects[at].device == seen.st_dev && s->objects[at].inode == seen.st_ino)
			return 1;
	return 0;
}

static void let_through(const struct sieve *s, u64 id)
{
	struct response answer = { .id = id, .flags = CONTINUE };
	u64 flags = 0;

	if (s->elsewhere)
		ioctl(s->listener, SET_FLAGS, flags);
	while (ioctl(s->listener, SEND, &answer) != 0 && errno == EINTR)
		;
	flags = SYNC_WAKE_UP;
	if (s->elsewhere)
		ioctl(s->listener, SET_FLAGS, flags);
}

/* One notification: 1 if it is to be handed out, 0 if it is dealt with or gone. */
static int sifted(struct sieve *s)
{
	static const struct notification nothing;
	struct rusage usage;

	s->call = nothing;	/* the kernel refuses anything but zeroes */
	if (ioctl(s->listener, RECEIVE, &s->call) != 0)
		return 0;	/* interrupted or died meanwhile, or we were */
	getrusage(RUSAGE_THREAD, &usage);
	s->elsewhere = s->sync && usage.ru_nvcsw == s->rests;
	s->rests = usage.ru_nvcsw;
	if (concerns(s, &s->call))
		return 1;
	let_through(s, s->call.id);
	return 0;
}

/* poll(2) until `deadline` (nanoseconds of CLOCK_MONOTONIC; below 0: none); fds[0] is the listener.
 * Returns how many are ready, or -errno. */
int sieve_poll(struct sieve *s, struct pollfd *fds, unsigned long count, long long deadline)
{
	for (;;) {
		struct timespec now, left, *wait = NULL;
		int ready;

		if (deadline >= 0) {
			clock_gettime(CLOCK_MONOTONIC, &now);
			long long rest = deadline - (now.tv_sec * 1000000000LL + now.tv_nsec);
			rest = rest < 0 ? 0 : rest;
			left.tv_sec = rest / 1000000000LL;
			left.tv_nsec = rest % 1000000000LL;
			wait = &left;
		}
		ready = ppoll(fds, count, wait, NULL);
		if (ready < 0)
			return -errno;
		if (ready == 0 || !(fds[0].revents & POLLIN))
			return ready;
		if (sifted(s)) {
			s->caught = 1;
			return ready;
		}
		fds[0].revents &= ~POLLIN;
		ready -= fds[0].revents == 0;
		if (ready > 0)
			return ready;
	}
}
