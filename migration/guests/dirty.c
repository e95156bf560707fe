/* Writes to random pages of MIB mebibytes at RATE megabytes a second, and on SIGUSR1 says the longest
 * time it has not run since the last SIGUSR1 (CLOCK_REALTIME), and how many pages are not as it left
 * them. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { WORDS = 512 };
static volatile sig_atomic_t asked;

static void ask(int signal)
{
	(void)signal;
	asked = 1;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int count, char **words)
{
	if (count != 3)
		return 2;
	size_t pages = strtoul(words[1], 0, 10) * 256;
	double rate = strtod(words[2], 0) * 1e6 / 4096;
	uint64_t *memory = mmap(0, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);
	uint64_t *expected = calloc(pages, sizeof *expected), random = 88172645463325252;
	if (memory == MAP_FAILED || !expected)
		return 1;
	for (size_t i = 0; i < pages * WORDS; i++) {
		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		memory[i] = i % WORDS ? random : 0;
	}
	signal(SIGUSR1, ask);
	printf("READY 0\n");
	fflush(stdout);
	double begun = now(), last = begun, longest = 0, done = 0;
	for (;;) {
		double here = now();
		if (here - last > longest)
			longest = here - last;
		last = here;
		double due = (here - begun) * rate - done;
		if (due > rate * 0.02) { /* it stood still: what was missed is not made up for */
			begun = here, done = 0, due = 1;
		}
		for (; due >= 1; due--, done++) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			memory[random % pages * WORDS] = ++expected[random % pages];
		}
		if (!asked)
			continue;
		asked = 0;
		size_t bad = 0;
		for (size_t page = 0; page < pages; page++)
			bad += memory[page * WORDS] != expected[page];
		printf("longest %.2f ms bad %zu\n", longest * 1e3, bad);
		fflush(stdout);
		begun = last = now(), longest = done = 0;
	}
}
