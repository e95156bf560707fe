/* What all programs share: which task belongs to which watch, events and how they are sent, and
 * what is counted when one cannot be. Mirrored by slic/ebpf/layout.py, whose sizes a test holds
 * against these. */
#pragma once
#include "kernel.bpf.h"

#define CALLS 512
#define LEVELS 8

enum {
    FORK = 1,
    EXEC = 2,
    EXIT = 3,
    STOP = 4,
    CONTINUE = 5,
    SIGNAL = 6,
    DELIVER = 7,
    ENTER = 8,
    RESULT = 9,
};
enum { WANT_LIVES = 1, WANT_STOPS = 2, WANT_SIGNALS = 4, WANT_DELIVERIES = 8, WANT_COUNTS = 16,
       WANT_CALLS = 32 };

/* One watch: a slot of `jobs`. `key` is never used again, so a mark that outlives its watch means
 * nothing. `level` is that of its owner's PID namespace, whose numbers are the ones in events.
 * `calls`: bit 0 the call is sent, bit 1 its result is. */
struct job {
    u32 key, wants, level;
    u8 calls[CALLS];
};
/* On every task of a watch. `tid`: as it was before an exec of this thread, too. `stopped` is of the process and stands at its leader.
 * `untold`: there was no room for the event of its birth. `launching`: it has yet to execute its program, and of its calls only that one counts. */
struct mark {
    u32 slot, key;
    u32 stopped, call, missed, level, tid, launching;
    u64 entered;
    u32 untold, unused;
};
struct head {
    u64 time;
    u32 kind, key, tid, tgid;
};
struct count {
    u64 calls, errors, time;
};
struct trouble {
    u64 again, lost, unmarked;
};

struct {
    MAP_UINT(type, ARRAY);
    MAP_UINT(max_entries, 64);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct job);
} jobs SEC(".maps");
struct {
    MAP_UINT(type, TASK_STORAGE);
    MAP_UINT(map_flags, NO_PREALLOC);
    MAP_TYPE(key, int);
    MAP_TYPE(value, struct mark);
} marks SEC(".maps");
/* PID namespaces that are watched: inode number to slot. */
struct {
    MAP_UINT(type, HASH);
    MAP_UINT(max_entries, 1024);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, u32);
} spaces SEC(".maps");
struct {
    MAP_UINT(type, RINGBUF);
    MAP_UINT(max_entries, 1 << 20);
} ring SEC(".maps");
struct {
    MAP_UINT(type, PERCPU_ARRAY);
    MAP_UINT(max_entries, 1);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct trouble);
} troubles SEC(".maps");

INLINE struct job *job_at(u32 slot, u32 key) {
    struct job *job = lookup(&jobs, &slot);
    return job && job->key == key ? job : 0;
}

INLINE struct trouble *trouble(void) {
    u32 zero = 0;
    return lookup(&troubles, &zero);
}

/* The task's mark if its watch still lives and wants any of `wants`. */
INLINE struct mark *marked(struct task_struct *task, u32 wants) {
    struct mark *mark = storage(&marks, task, 0, 0);
    if (!mark) return 0;
    struct job *job = job_at(mark->slot, mark->key);
    return job && job->wants & wants ? mark : 0;
}

/* Functions that are no INLINE are verified once, not at every place where they are called: loading
 * takes a fifth of the time. They may be given numbers only, so a struct pid is its address. */
INLINE u64 pid_of(struct task_struct *task) {
    u64 pid = 0;
    read_kernel(&pid, sizeof pid, &task->thread_pid);
    return pid;
}

/* Its number in its PID namespace of this level, and in the upper half the namespace's inode number;
 * 0: it is in none. */
__attribute__((noinline)) u64 number_at(u64 address, u32 level) {
    struct pid *pid = (void *)address;
    struct number number = {};
    u32 own = 0, inum = 0;
    read_kernel(&own, sizeof own, &pid->level);
    if (level > own) return 0;
    u64 numbers = address + __builtin_preserve_field_info(pid->numbers, BYTE_OFFSET);
    read_kernel(&number, sizeof number, (void *)(numbers + level * sizeof number));
    read_kernel(&inum, sizeof inum, &number.ns->ns.inum);
    return (u64)inum << 32 | (u32)number.nr;
}

INLINE u32 tid_at(struct task_struct *task, u32 level) {
    return level ? (u32)number_at(pid_of(task), level) : task->pid;
}

INLINE u32 tgid_at(struct task_struct *task, u32 level) {
    return level ? (u32)number_at(pid_of(task->group_leader), level) : task->tgid;
}

INLINE void headed(struct head *head, u32 kind, struct mark *mark, struct task_struct *task) {
    head->time = now();
    head->kind = kind;
    head->key = mark->key;
    head->tid = tid_at(task, mark->level);
    head->tgid = tgid_at(task, mark->level);
}

/* Room for an event. The ring's lock may give up rather than risk a deadlock: so it is asked again. */
INLINE void *reserved(u64 size, u32 kind, struct mark *mark, struct task_struct *task) {
    struct head *head = ring_reserve(&ring, size, 0);
    if (!head) {
        struct trouble *bad = trouble();
        head = ring_reserve(&ring, size, 0);
        if (!head) head = ring_reserve(&ring, size, 0);
        if (bad && head) bad->again++;
        if (bad && !head) bad->lost++;
    }
    if (!head) return 0;
    headed(head, kind, mark, task);
    return head;
}
