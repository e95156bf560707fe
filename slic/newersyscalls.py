"""System calls of x86-64 that python-ptrace 0.9.9 numbers but does not describe, or does not know.

Name -> (number, C type and name of each argument), up to file_setattr of Linux 6.17; a test checks
them against the system's headers. Read by slic.syscalls only.
"""

SUPPLEMENT: dict[str, tuple[int, tuple[tuple[str, str], ...]]] = {
    "arch_prctl": (158, (("int", "code"), ("unsigned long", "addr"))),
    "cachestat": (
        451,
        (
            ("unsigned int", "fd"),
            ("struct cachestat_range *", "cstat_range"),
            ("struct cachestat *", "cstat"),
            ("unsigned int", "flags"),
        ),
    ),
    "clone3": (435, (("struct clone_args *", "uargs"), ("size_t", "size"))),
    "close_range": (
        436,
        (("unsigned int", "fd"), ("unsigned int", "max_fd"), ("unsigned int", "flags")),
    ),
    "epoll_pwait2": (
        441,
        (
            ("int", "epfd"),
            ("struct epoll_event *", "events"),
            ("int", "maxevents"),
            ("const struct timespec *", "timeout"),
            ("const sigset_t *", "sigmask"),
            ("size_t", "sigsetsize"),
        ),
    ),
    "faccessat2": (
        439,
        (("int", "dfd"), ("const char *", "filename"), ("int", "mode"), ("int", "flags")),
    ),
    "fchmodat2": (
        452,
        (("int", "dfd"), ("const char *", "filename"), ("umode_t", "mode"), ("int", "flags")),
    ),
    "file_getattr": (
        468,
        (
            ("int", "dfd"),
            ("const char *", "filename"),
            ("struct file_attr *", "ufattr"),
            ("size_t", "usize"),
            ("unsigned int", "at_flags"),
        ),
    ),
    "file_setattr": (
        469,
        (
            ("int", "dfd"),
            ("const char *", "filename"),
            ("struct file_attr *", "ufattr"),
            ("size_t", "usize"),
            ("unsigned int", "at_flags"),
        ),
    ),
    "fsconfig": (
        431,
        (
            ("int", "fs_fd"),
            ("unsigned int", "cmd"),
            ("const char *", "key"),
            ("const void *", "value"),
            ("int", "aux"),
        ),
    ),
    "fsmount": (
        432,
        (("int", "fs_fd"), ("unsigned int", "flags"), ("unsigned int", "attr_flags")),
    ),
    "fsopen": (430, (("const char *", "fs_name"), ("unsigned int", "flags"))),
    "fspick": (433, (("int", "dfd"), ("const char *", "path"), ("unsigned int", "flags"))),
    "futex_requeue": (
        456,
        (
            ("struct futex_waitv *", "waiters"),
            ("unsigned int", "flags"),
            ("int", "nr_wake"),
            ("int", "nr_requeue"),
        ),
    ),
    "futex_wait": (
        455,
        (
            ("void *", "uaddr"),
            ("unsigned long", "val"),
            ("unsigned long", "mask"),
            ("unsigned int", "flags"),
            ("struct timespec *", "timeout"),
            ("clockid_t", "clockid"),
        ),
    ),
    "futex_waitv": (
        449,
        (
            ("struct futex_waitv *", "waiters"),
            ("unsigned int", "nr_futexes"),
            ("unsigned int", "flags"),
            ("struct timespec *", "timeout"),
            ("clockid_t", "clockid"),
        ),
    ),
    "futex_wake": (
        454,
        (
            ("void *", "uaddr"),
            ("unsigned long", "mask"),
            ("int", "nr"),
            ("unsigned int", "flags"),
        ),
    ),
    "getxattrat": (
        464,
        (
            ("int", "dfd"),
            ("const char *", "pathname"),
            ("unsigned int", "at_flags"),
            ("const char *", "name"),
            ("struct xattr_args *", "uargs"),
            ("size_t", "usize"),
        ),
    ),
    "io_pgetevents": (
        333,
        (
            ("aio_context_t", "ctx_id"),
            ("long", "min_nr"),
            ("long", "nr"),
            ("struct io_event *", "events"),
            ("struct timespec *", "timeout"),
            ("const void *", "usig"),
        ),
    ),
    "io_uring_enter": (
        426,
        (
            ("unsigned int", "fd"),
            ("u32", "to_submit"),
            ("u32", "min_complete"),
            ("u32", "flags"),
            ("const void *", "argp"),
            ("size_t", "argsz"),
        ),
    ),
    "io_uring_register": (
        427,
        (("unsigned int", "fd"), ("unsigned int", "opcode"), ("void *", "arg"), ("u32", "nr_args")),
    ),
    "io_uring_setup": (425, (("u32", "entries"), ("struct io_uring_params *", "params"))),
    "iopl": (172, (("unsigned int", "level"),)),
    "landlock_add_rule": (
        445,
        (
            ("int", "ruleset_fd"),
            ("int", "rule_type"),
            ("const void *", "rule_attr"),
            ("u32", "flags"),
        ),
    ),
    "landlock_create_ruleset": (
        444,
        (("const void *", "attr"), ("size_t", "size"), ("u32", "flags")),
    ),
    "landlock_restrict_self": (446, (("int", "ruleset_fd"), ("u32", "flags"))),
    "listmount": (
        458,
        (
            ("const struct mnt_id_req *", "req"),
            ("u64 *", "mnt_ids"),
            ("size_t", "nr_mnt_ids"),
            ("unsigned int", "flags"),
        ),
    ),
    "listxattrat": (
        465,
        (
            ("int", "dfd"),
            ("const char *", "pathname"),
            ("unsigned int", "at_flags"),
            ("char *", "list"),
            ("size_t", "size"),
        ),
    ),
    "lsm_get_self_attr": (
        459,
        (
            ("unsigned int", "attr"),
            ("struct lsm_ctx *", "ctx"),
            ("u32 *", "size"),
            ("u32", "flags"),
        ),
    ),
    "lsm_list_modules": (
        461,
        (
            ("u64 *", "ids"),
            ("u32 *", "size"),
            ("u32", "flags"),
        ),
    ),
    "lsm_set_self_attr": (
        460,
        (
            ("unsigned int", "attr"),
            ("struct lsm_ctx *", "ctx"),
            ("u32", "size"),
            ("u32", "flags"),
        ),
    ),
    "map_shadow_stack": (
        453,
        (
            ("unsigned long", "addr"),
            ("unsigned long", "size"),
            ("unsigned int", "flags"),
        ),
    ),
    "memfd_secret": (447, (("unsigned int", "flags"),)),
    "modify_ldt": (154, (("int", "func"), ("void *", "ptr"), ("unsigned long", "bytecount"))),
    "mount_setattr": (
        442,
        (
            ("int", "dfd"),
            ("const char *", "path"),
            ("unsigned int", "flags"),
            ("struct mount_attr *", "uattr"),
            ("size_t", "usize"),
        ),
    ),
    "move_mount": (
        429,
        (
            ("int", "from_dfd"),
            ("const char *", "from_pathname"),
            ("int", "to_dfd"),
            ("const char *", "to_pathname"),
            ("unsigned int", "flags"),
        ),
    ),
    "mseal": (
        462,
        (
            ("unsigned long", "start"),
            ("size_t", "len"),
            ("unsigned long", "flags"),
        ),
    ),
    "open_tree": (428, (("int", "dfd"), ("const char *", "filename"), ("unsigned int", "flags"))),
    "open_tree_attr": (
        467,
        (
            ("int", "dfd"),
            ("const char *", "filename"),
            ("unsigned int", "flags"),
            ("struct mount_attr *", "uattr"),
            ("size_t", "usize"),
        ),
    ),
    "openat2": (
        437,
        (
            ("int", "dirfd"),
            ("const char *", "filename"),
            ("struct open_how *", "how"),
            ("size_t", "usize"),
        ),
    ),
    "pidfd_getfd": (438, (("int", "pidfd"), ("int", "fd"), ("unsigned int", "flags"))),
    "pidfd_open": (434, (("pid_t", "pid"), ("unsigned int", "flags"))),
    "pidfd_send_signal": (
        424,
        (("int", "pidfd"), ("int", "sig"), ("siginfo_t *", "info"), ("unsigned int", "flags")),
    ),
    "pkey_alloc": (330, (("unsigned long", "flags"), ("unsigned long", "init_val"))),
    "pkey_free": (331, (("int", "pkey"),)),
    "pkey_mprotect": (
        329,
        (
            ("unsigned long", "start"),
            ("size_t", "len"),
            ("unsigned long", "prot"),
            ("int", "pkey"),
        ),
    ),
    "preadv2": (
        327,
        (
            ("unsigned long", "fd"),
            ("const struct iovec *", "vec"),
            ("unsigned long", "vlen"),
            ("unsigned long", "pos_l"),
            ("unsigned long", "pos_h"),
            ("int", "flags"),
        ),
    ),
    "process_madvise": (
        440,
        (
            ("int", "pidfd"),
            ("const struct iovec *", "vec"),
            ("size_t", "vlen"),
            ("int", "behavior"),
            ("unsigned int", "flags"),
        ),
    ),
    "process_mrelease": (448, (("int", "pidfd"), ("unsigned int", "flags"))),
    "pwritev2": (
        328,
        (
            ("unsigned long", "fd"),
            ("const struct iovec *", "vec"),
            ("unsigned long", "vlen"),
            ("unsigned long", "pos_l"),
            ("unsigned long", "pos_h"),
            ("int", "flags"),
        ),
    ),
    "quotactl_fd": (
        443,
        (("unsigned int", "fd"), ("unsigned int", "cmd"), ("qid_t", "id"), ("void *", "addr")),
    ),
    "removexattrat": (
        466,
        (
            ("int", "dfd"),
            ("const char *", "pathname"),
            ("unsigned int", "at_flags"),
            ("const char *", "name"),
        ),
    ),
    "rseq": (
        334,
        (("struct rseq *", "rseq"), ("u32", "rseq_len"), ("int", "flags"), ("u32", "sig")),
    ),
    "rt_sigreturn": (15, ()),
    "set_mempolicy_home_node": (
        450,
        (
            ("unsigned long", "start"),
            ("unsigned long", "len"),
            ("unsigned long", "home_node"),
            ("unsigned long", "flags"),
        ),
    ),
    "setxattrat": (
        463,
        (
            ("int", "dfd"),
            ("const char *", "pathname"),
            ("unsigned int", "at_flags"),
            ("const char *", "name"),
            ("const struct xattr_args *", "uargs"),
            ("size_t", "usize"),
        ),
    ),
    "statmount": (
        457,
        (
            ("const struct mnt_id_req *", "req"),
            ("struct statmount *", "buf"),
            ("size_t", "bufsize"),
            ("unsigned int", "flags"),
        ),
    ),
    "timerfd_create": (283, (("int", "clockid"), ("int", "flags"))),
    "umount2": (166, (("char *", "name"), ("int", "flags"))),
    "uretprobe": (335, ()),
}
