/* What the programs take from the kernel: the few fields they read (found by BTF when they are
 * loaded, CO-RE), the helpers they call, by number (linux/bpf.h), and constants. So clang alone
 * compiles them: no vmlinux.h of one kernel, no headers of libbpf. */
#pragma once

typedef unsigned char u8;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
/* The shape in which libbpf reads a map's attributes (BTF-defined maps). */
#define MAP_UINT(name, value) int(*name)[value]
#define MAP_TYPE(name, of) of *name

enum { HASH = 1, ARRAY = 2, PERCPU_ARRAY = 6, RINGBUF = 27, TASK_STORAGE = 29 };
enum { NO_PREALLOC = 1, CREATE = 1 };

static void *(*const lookup)(void *map, const void *key) = (void *)1;
static u64 (*const now)(void) = (void *)5;
static long (*const read_user)(void *to, u32 size, const void *from) = (void *)112;
static long (*const read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*const read_user_text)(void *to, u32 size, const void *from) = (void *)114;
static long (*const seq_write)(void *seq, const void *data, u32 size) = (void *)127;
static long (*const ring_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;
static void *(*const ring_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const ring_submit)(void *data, u64 flags) = (void *)132;
static void *(*const storage)(void *map, void *task, void *value, u64 flags) = (void *)156;
static void *(*const current)(void) = (void *)158;
static long (*const registers_of)(void *task) = (void *)175;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct ns_common {
    u32 inum;
};
struct pid_namespace {
    struct ns_common ns;
};
struct upid {
    s32 nr;
    struct pid_namespace *ns;
};
struct pid {
    u32 level;
    struct upid numbers[1];
};
struct signal_struct {
    u32 flags;
    s32 group_exit_code;
};
struct thread_info {
    u32 status;
};
struct task_struct {
    struct thread_info thread_info;
    u32 flags;
    s32 pid, tgid, exit_state, exit_code;
    struct task_struct *real_parent, *group_leader;
    struct pid *thread_pid;
    struct signal_struct *signal;
    char comm[16];
};
struct pt_regs {
    unsigned long r10, r9, r8, dx, si, di, orig_ax;
};
struct seq_file;
struct bpf_iter_meta {
    struct seq_file *seq;
    u64 session_id, seq_num;
};
struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
};
#pragma clang attribute pop

/* struct upid as it is copied to the stack: no relocation applies there. */
struct number {
    s32 nr;
    struct pid_namespace *ns;
};

#define SIGNAL_STOP_STOPPED 1
#define SIGNAL_GROUP_EXIT 4
#define TASK_STOPPED 4

#define TS_COMPAT 2 /* in a call of the 32-bit entry */
#define SIGCONT 18
#define BYTE_OFFSET 0 /* of __builtin_preserve_field_info */

char LICENSE[] SEC("license") = "GPL";
