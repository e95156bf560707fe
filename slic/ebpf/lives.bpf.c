/* Lives, stops and signals of the tasks that are watched: tracepoints with BTF only, which load
 * where neither fentry nor kprobes do. */
#include "jobs.bpf.h"

struct forked {
    struct head head; /* the new task */
    u32 by_tid, by_tgid, parent_tgid, level;
    s32 numbers[LEVELS];
};
struct executed {
    struct head head;
    u32 old_tid, unused;
    char comm[16];
};
struct ended {
    struct head head;
    s32 status;
    u32 flags;
};
enum { OF_GROUP = 1, UNTOLD = 2 };
struct stopped {
    struct head head;
    u32 signal, unused;
};
struct signalled {
    struct head head; /* the target */
    u32 sender_tid, sender_tgid, to_key, by_key;
    s32 signal, code, to_process, result, call, unused;
    u64 arguments[2];
};

/* The slot of the innermost watched namespace that it is in, plus 1; 0: none. The first namespace of
 * the machine is never watched: its processes cost no lookup. */
__attribute__((noinline)) u32 slot_of_space(u64 pid, u32 level) {
    for (u32 i = 0; i < 32; i++) {
        if (level == 0 || level > 32) return 0;
        u32 inum = number_at(pid, level) >> 32;
        u32 *found = lookup(&spaces, &inum);
        if (found) return *found + 1;
        level--;
    }
    return 0;
}

INLINE u32 watched_space(struct task_struct *task) {
    u32 level = task->thread_pid->level;
    return level ? slot_of_space(pid_of(task), level) : 0;
}

SEC("tp_btf/sched_process_fork") int on_fork(u64 *ctx) {
    struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
    struct job *job = 0;
    u32 slot = watched_space(child);
    if (slot) {
        slot--;
        job = lookup(&jobs, &slot);
    } else {
        struct mark *mark = storage(&marks, parent, 0, 0);
        if (!mark) return 0;
        slot = mark->slot;
        job = job_at(slot, mark->key);
    }
    if (!job || !job->key) return 0;
    struct mark fresh = {.slot = slot, .key = job->key, .call = -1, .level = job->level};
    fresh.tid = tid_at(child, fresh.level);
    struct mark *mark = storage(&marks, child, &fresh, CREATE);
    if (!mark) mark = storage(&marks, child, &fresh, CREATE);
    if (!mark) mark = storage(&marks, child, &fresh, CREATE);
    if (!mark) {
        struct trouble *bad = trouble();
        if (bad) bad->unmarked++;
    }
    if (!(job->wants & WANT_LIVES)) return 0;
    struct forked *event = reserved(sizeof *event, FORK, &fresh, child);
    if (!event) {
        if (mark) mark->untold = 1;
        return 0;
    }
    event->by_tid = tid_at(parent, fresh.level);
    event->by_tgid = tgid_at(parent, fresh.level);
    event->parent_tgid = tgid_at(child->real_parent, fresh.level);
    event->level = child->thread_pid->level;
    u64 pid = pid_of(child);
    /* From the innermost outwards. */
    for (u32 i = 0; i < LEVELS; i++)
        event->numbers[i] = i <= event->level ? (u32)number_at(pid, event->level - i) : 0;
    ring_submit(event, 0);
    return 0;
}

SEC("tp_btf/sched_process_exec") int on_exec(u64 *ctx) {
    struct task_struct *task = (void *)ctx[0];
    struct mark *mark = marked(task, WANT_LIVES);
    if (!mark) return 0;
    mark->launching = 0;
    struct executed *event = reserved(sizeof *event, EXEC, mark, task);
    if (!event) return 0;
    event->old_tid = mark->tid;
    event->unused = 0;
    mark->tid = event->head.tid;
    read_kernel(event->comm, sizeof event->comm, task->comm);
    ring_submit(event, 0);
    return 0;
}

/* Comes for every thread. OF_GROUP: the status is of the whole process (exit_group, a signal);
 * UNTOLD: there was no room for the event of its birth. */
SEC("tp_btf/sched_process_exit") int on_exit(u64 *ctx) {
    struct task_struct *task = (void *)ctx[0];
    struct mark *mark = marked(task, WANT_LIVES);
    if (!mark) return 0;
    struct ended *event = reserved(sizeof *event, EXIT, mark, task);
    if (!event) return 0;
    struct signal_struct *all = task->signal;
    event->flags = all->flags & SIGNAL_GROUP_EXIT ? OF_GROUP : 0;
    if (mark->untold) event->flags |= UNTOLD;
    event->status = event->flags & OF_GROUP ? all->group_exit_code : task->exit_code;
    ring_submit(event, 0);
    return 0;
}

/* The last thread that stops finds the process marked as stopped (do_signal_stop); one that is
 * slow on its way to sleep may find it, too. */
SEC("tp_btf/sched_switch") int on_stop(u64 *ctx) {
    if (ctx[0] || !(ctx[3] & TASK_STOPPED)) return 0;
    struct task_struct *task = (void *)ctx[1];
    struct mark *mark = marked(task, WANT_STOPS);
    if (!mark || !(task->signal->flags & SIGNAL_STOP_STOPPED)) return 0;
    struct mark *process = storage(&marks, task->group_leader, 0, 0);
    if (!process || __sync_lock_test_and_set(&process->stopped, 1)) return 0;
    struct stopped *event = reserved(sizeof *event, STOP, mark, task);
    if (!event) return 0;
    event->signal = task->signal->group_exit_code;
    event->unused = 0;
    ring_submit(event, 0);
    return 0;
}

INLINE void continued(struct task_struct *task) {
    struct mark *mark = marked(task, WANT_STOPS);
    struct mark *process = mark ? storage(&marks, task->group_leader, 0, 0) : 0;
    if (!process || !__sync_lock_test_and_set(&process->stopped, 0)) return;
    struct stopped *event = reserved(sizeof *event, CONTINUE, mark, task);
    if (!event) return;
    event->signal = SIGCONT;
    event->unused = 0;
    ring_submit(event, 0);
}

/* A process goes on when SIGCONT is sent, whatever becomes of the signal (signal(7)). */
SEC("tp_btf/signal_generate") int on_continue(u64 *ctx) {
    if ((s32)ctx[0] == SIGCONT) continued((void *)ctx[2]);
    return 0;
}

SEC("tp_btf/signal_generate") int on_signal(u64 *ctx) {
    struct task_struct *target = (void *)ctx[2], *sender = current();
    struct mark *to = marked(target, WANT_SIGNALS), *by = marked(sender, WANT_SIGNALS);
    if (!to && !by) return 0;
    struct mark *of = to ? to : by;
    struct signalled *event = reserved(sizeof *event, SIGNAL, of, target);
    if (!event) return 0;
    event->sender_tid = tid_at(sender, of->level);
    event->sender_tgid = tgid_at(sender, of->level);
    event->to_key = to ? to->key : 0;
    event->by_key = by ? by->key : 0;
    event->unused = 0;
    event->signal = ctx[0];
    event->to_process = ctx[3];
    event->result = ctx[4];
    /* The kernel's own senders pass 0 or 1 in place of siginfo's address: read, never followed. */
    u64 info = 0;
    s32 code = 0;
    read_kernel(&info, sizeof info, &ctx[1]);
    if (info == 1) code = 0x80; /* SI_KERNEL */
    else if (info) read_kernel(&code, sizeof code, (void *)info + 8);
    event->code = code;
    struct pt_regs *registers = (void *)registers_of(sender);
    u64 word = 0;
    read_kernel(&word, sizeof word, &registers->orig_ax);
    event->call = word;
    read_kernel(&event->arguments[0], 8, &registers->di);
    read_kernel(&event->arguments[1], 8, &registers->si);
    ring_submit(event, 0);
    return 0;
}

SEC("tp_btf/signal_deliver") int on_deliver(u64 *ctx) {
    struct task_struct *task = current();
    struct mark *mark = marked(task, WANT_DELIVERIES);
    if (!mark) return 0;
    struct stopped *event = reserved(sizeof *event, DELIVER, mark, task);
    if (!event) return 0;
    event->signal = ctx[0];
    event->unused = 0;
    ring_submit(event, 0);
    return 0;
}

/* The walk over all tasks: names those that are marked, and marks those that are to be: the
 * process `tgid`, or what is in the namespace of this slot, with threads and descendants. Run again
 * until it finds no new one. */
struct adoption {
    u32 slot, key, tgid, launching;
};
/* The first one has no key; its `tid` is the level of the reader's PID namespace. */
struct walked {
    u32 key, tid, tgid, parent_tgid, fresh, over;
};
struct {
    MAP_UINT(type, ARRAY);
    MAP_UINT(max_entries, 1);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, struct adoption);
} adopt SEC(".maps");

INLINE int belongs(struct task_struct *task, struct adoption *to, u32 level) {
    u32 space = watched_space(task);
    if (space) return space == to->slot + 1;
    if (to->tgid && tgid_at(task, level) == to->tgid) return 1;
    struct mark *mark = storage(&marks, task->group_leader, 0, 0);
    if (mark && mark->key == to->key) return 1;
    mark = storage(&marks, task->real_parent, 0, 0);
    return mark && mark->key == to->key;
}

SEC("iter/task") int walk(struct bpf_iter__task *ctx) {
    struct task_struct *task = ctx->task;
    u32 zero = 0;
    struct adoption *to = lookup(&adopt, &zero);
    struct task_struct *reader = current();
    u32 level = reader->thread_pid->level;
    struct walked found = {};
    if (task && !ctx->meta->seq_num) {
        found.tid = level;
        seq_write(ctx->meta->seq, &found, sizeof found);
    }
    if (!task || !to) return 0;
    struct mark *mark = storage(&marks, task, 0, 0);
    if (to->key && !(mark && mark->key == to->key) && belongs(task, to, level)) {
        struct mark fresh = {
            .slot = to->slot, .key = to->key, .call = -1, .level = level,
            .launching = to->launching};
        fresh.tid = tid_at(task, level);
        fresh.stopped = task->signal->flags & SIGNAL_STOP_STOPPED; /* that it goes on is an event */
        if (mark) {
            *mark = fresh;
        } else {
            mark = storage(&marks, task, &fresh, CREATE);
        }
        found.fresh = 1;
    }
    if (!mark) return 0;
    found.key = mark->key;
    found.tid = tid_at(task, level);
    found.tgid = tgid_at(task, level);
    found.parent_tgid = tgid_at(task->real_parent, level);
    found.over = task->exit_state != 0;
    seq_write(ctx->meta->seq, &found, sizeof found);
    return 0;
}
