/* Calls of the tasks that are watched: counted by number, and sent where a watch wants them, with
 * the text that they point to. Only the x86-64 table is known: a call through the 32-bit entry or
 * with an x32 number is not seen. */
#include "jobs.bpf.h"

#define TEXT_MAX 4096
#define BUFFER_MAX 65
#define NONE 255
#define EXECVE 59
#define EXECVEAT 322

/* What a call's arguments lead to: `texts` are strings (a bit an argument), `buffer` and `size`
 * the arguments of a buffer, NONE for none; `filled` is a buffer that the call fills. */
struct shape {
    u8 texts, buffer, size, filled;
};
struct called {
    struct head head;
    u32 call, missed;
    u64 arguments[6];
    s64 value;
    u64 duration;
    u32 which[2], sizes[2];
};
struct scratch {
    struct called called;
    u8 text[2 * TEXT_MAX + 8];
};
struct {
    MAP_UINT(type, ARRAY);
    MAP_UINT(max_entries, CALLS);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct shape);
} shapes SEC(".maps");
/* By slot and number. */
struct {
    MAP_UINT(type, PERCPU_ARRAY);
    MAP_UINT(max_entries, 64 * CALLS);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct count);
} counts SEC(".maps");
/* Two: the tracepoints of a call's beginning and end. */
struct {
    MAP_UINT(type, PERCPU_ARRAY);
    MAP_UINT(max_entries, 2);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct scratch);
} scratches SEC(".maps");

INLINE struct count *count_of(u32 slot, u32 call) {
    u32 index = slot * CALLS + call;
    return lookup(&counts, &index);
}

/* Copies one string or buffer behind what is there already; how much is there then. */
INLINE u32 copied(struct scratch *to, u32 at, u32 place, u64 argument, u64 address, u64 size,
                  int text) {
    to->called.which[place] = argument;
    if (at > TEXT_MAX || !address) return at;
    long got = text ? read_user_text(to->text + at, TEXT_MAX, (void *)address) : 0;
    if (!text && size) {
        if (size > BUFFER_MAX) size = BUFFER_MAX;
        got = read_user(to->text + at, size, (void *)address) ? -1 : size;
    }
    if (got < 0 || got > TEXT_MAX) {
        to->called.missed |= 1 << argument;
        return at;
    }
    to->called.sizes[place] = got;
    return at + got;
}

INLINE u64 argument_at(struct called *called, u32 index) {
    return index < 6 ? called->arguments[index] : 0;
}

INLINE u32 copied_all(struct scratch *to, struct shape *shape) {
    u32 used = 0, place = 0;
#pragma unroll
    for (u32 i = 0; i < 6; i++) {
        if (shape->texts & 1 << i && place < 2)
            used = copied(to, used, place++, i, to->called.arguments[i], 0, 1);
    }
    if (shape->buffer < 6 && place < 2)
        used = copied(to, used, place, shape->buffer, argument_at(&to->called, shape->buffer),
                      argument_at(&to->called, shape->size), 0);
    return used;
}

INLINE void sent(struct scratch *what, u32 used) {
    u64 size = sizeof what->called + used;
    if (size > sizeof *what) size = sizeof *what;
    if (!ring_output(&ring, what, size, 0)) return;
    int sent = !ring_output(&ring, what, size, 0) || !ring_output(&ring, what, size, 0);
    struct trouble *bad = trouble();
    if (bad && sent) bad->again++;
    if (bad && !sent) bad->lost++;
}

INLINE struct scratch *filled(u32 which, struct mark *mark, struct task_struct *task, u32 call,
                              struct pt_regs *registers) {
    struct scratch *to = lookup(&scratches, &which);
    if (!to) return 0;
    struct called *called = &to->called;
    headed(&called->head, which ? RESULT : ENTER, mark, task);
    called->call = call;
    called->missed = 0;
    called->arguments[0] = registers->di;
    called->arguments[1] = registers->si;
    called->arguments[2] = registers->dx;
    called->arguments[3] = registers->r10;
    called->arguments[4] = registers->r8;
    called->arguments[5] = registers->r9;
    called->value = called->duration = 0;
    called->which[0] = called->which[1] = NONE;
    called->sizes[0] = called->sizes[1] = 0;
    return to;
}

SEC("tp_btf/sys_enter") int on_enter(u64 *ctx) {
    struct task_struct *task = current();
    struct mark *mark = marked(task, WANT_COUNTS | WANT_CALLS);
    u32 call = ctx[1];
    if (!mark || call >= CALLS || task->thread_info.status & TS_COMPAT) return 0;
    if (mark->launching && call != EXECVE && call != EXECVEAT) return 0;
    mark->call = call;
    mark->entered = now();
    struct job *job = job_at(mark->slot, mark->key);
    if (!job) return 0;
    if (job->wants & WANT_COUNTS) {
        struct count *count = count_of(mark->slot, call);
        if (count) count->calls++;
    }
    if (!(job->wants & WANT_CALLS) || !(job->calls[call & (CALLS - 1)] & 1)) return 0;
    struct scratch *to = filled(0, mark, task, call, (void *)ctx[0]);
    struct shape *shape = lookup(&shapes, &call);
    if (!to || !shape) return 0;
    sent(to, copied_all(to, shape));
    mark->missed = to->called.missed;
    return 0;
}

/* A child that has just been forked comes by, too: it has begun no call. */
SEC("tp_btf/sys_exit") int on_result(u64 *ctx) {
    struct task_struct *task = current();
    struct mark *mark = marked(task, WANT_COUNTS | WANT_CALLS);
    if (!mark) return 0;
    u32 call = mark->call;
    if (call >= CALLS) return 0;
    mark->call = -1;
    struct job *job = job_at(mark->slot, mark->key);
    if (!job) return 0;
    s64 value = ctx[1];
    u64 duration = now() - mark->entered;
    if (job->wants & WANT_COUNTS) {
        struct count *count = count_of(mark->slot, call);
        if (count) {
            count->time += duration;
            if (value < 0 && value >= -4095) count->errors++;
        }
    }
    if (!(job->wants & WANT_CALLS) || !(job->calls[call & (CALLS - 1)] & 2)) return 0;
    struct scratch *to = filled(1, mark, task, call, (void *)ctx[0]);
    if (!to) return 0;
    to->called.value = value;
    to->called.duration = duration;
    struct shape *shape = lookup(&shapes, &call);
    u32 used = 0;
    if (mark->missed) {
        /* The page was not there when the call began; the kernel has fetched it since. */
        if (shape) used = copied_all(to, shape);
        mark->missed = 0;
    } else if (value > 0 && shape && shape->filled < 6) {
        used = copied(to, 0, 0, shape->filled, argument_at(&to->called, shape->filled), value, 0);
    }
    sent(to, used);
    return 0;
}
