#include "pool/pkcs11/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define REFUSE       SCMP_ACT_ERRNO(EPERM)
#define UNKNOWN      SCMP_ACT_ERRNO(ENOSYS)

/* Refused in both profiles. Names that this build's libseccomp or architecture lacks have no number
 * and are passed over: there is nothing to refuse then. */
static const char *const refused[] = {"execve",
                                      "execveat",
                                      "ptrace",
                                      "process_vm_readv",
                                      "process_vm_writev",
                                      "process_madvise",
                                      "kcmp",
                                      "pidfd_getfd",
                                      "pidfd_send_signal",
                                      "tkill",
                                      "rt_sigqueueinfo",
                                      "rt_tgsigqueueinfo",
                                      "mount",
                                      "umount",
                                      "umount2",
                                      "pivot_root",
                                      "chroot",
                                      "move_mount",
                                      "fsopen",
                                      "fsconfig",
                                      "fsmount",
                                      "fspick",
                                      "open_tree",
                                      "mount_setattr",
                                      "swapon",
                                      "swapoff",
                                      "unshare",
                                      "setns",
                                      "bpf",
                                      "perf_event_open",
                                      "userfaultfd",
                                      "io_uring_setup",
                                      "io_uring_enter",
                                      "io_uring_register",
                                      "keyctl",
                                      "add_key",
                                      "request_key",
                                      "init_module",
                                      "finit_module",
                                      "delete_module",
                                      "create_module",
                                      "kexec_load",
                                      "kexec_file_load",
                                      "reboot",
                                      "acct",
                                      "quotactl",
                                      "quotactl_fd",
                                      "syslog",
                                      "settimeofday",
                                      "clock_settime",
                                      "clock_adjtime",
                                      "adjtimex",
                                      "stime",
                                      "sethostname",
                                      "setdomainname",
                                      "vhangup",
                                      "iopl",
                                      "ioperm",
                                      "modify_ldt",
                                      "lookup_dcookie",
                                      "open_by_handle_at",
                                      "fanotify_init",
                                      "nfsservctl",
                                      "uselib",
                                      "mknod",
                                      "mknodat"};

/* Allowed in `strict`: memory, threads, time, signals to itself, files, Unix sockets. */
static const char *const harmless[] = {"access",
                                       "alarm",
                                       "arch_prctl",
                                       "bind",
                                       "brk",
                                       "capget",
                                       "chdir",
                                       "chmod",
                                       "chown",
                                       "clock_getres",
                                       "clock_gettime",
                                       "clock_nanosleep",
                                       "close",
                                       "close_range",
                                       "connect",
                                       "copy_file_range",
                                       "creat",
                                       "dup",
                                       "dup2",
                                       "dup3",
                                       "epoll_create",
                                       "epoll_create1",
                                       "epoll_ctl",
                                       "epoll_pwait",
                                       "epoll_pwait2",
                                       "epoll_wait",
                                       "eventfd",
                                       "eventfd2",
                                       "exit",
                                       "exit_group",
                                       "faccessat",
                                       "faccessat2",
                                       "fadvise64",
                                       "fallocate",
                                       "fchdir",
                                       "fchmod",
                                       "fchmodat",
                                       "fchown",
                                       "fchownat",
                                       "fcntl",
                                       "fdatasync",
                                       "flock",
                                       "fstat",
                                       "fstatfs",
                                       "fsync",
                                       "ftruncate",
                                       "futex",
                                       "futex_waitv",
                                       "futimesat",
                                       "get_mempolicy",
                                       "get_robust_list",
                                       "getcpu",
                                       "getcwd",
                                       "getdents",
                                       "getdents64",
                                       "getegid",
                                       "geteuid",
                                       "getgid",
                                       "getgroups",
                                       "getitimer",
                                       "getpeername",
                                       "getpgid",
                                       "getpgrp",
                                       "getpid",
                                       "getppid",
                                       "getpriority",
                                       "getrandom",
                                       "getresgid",
                                       "getresuid",
                                       "getrlimit",
                                       "getrusage",
                                       "getsid",
                                       "getsockname",
                                       "getsockopt",
                                       "gettid",
                                       "gettimeofday",
                                       "getuid",
                                       "getxattr",
                                       "inotify_add_watch",
                                       "inotify_init",
                                       "inotify_init1",
                                       "inotify_rm_watch",
                                       "lgetxattr",
                                       "link",
                                       "linkat",
                                       "listxattr",
                                       "lseek",
                                       "lstat",
                                       "madvise",
                                       "mbind",
                                       "membarrier",
                                       "memfd_create",
                                       "mincore",
                                       "mkdir",
                                       "mkdirat",
                                       "mlock",
                                       "mlock2",
                                       "mlockall",
                                       "mmap",
                                       "mprotect",
                                       "mremap",
                                       "msync",
                                       "munlock",
                                       "munlockall",
                                       "munmap",
                                       "nanosleep",
                                       "newfstatat",
                                       "open",
                                       "openat",
                                       "openat2",
                                       "pause",
                                       "pipe",
                                       "pipe2",
                                       "pkey_alloc",
                                       "pkey_free",
                                       "pkey_mprotect",
                                       "poll",
                                       "ppoll",
                                       "prctl",
                                       "pread64",
                                       "preadv",
                                       "preadv2",
                                       "pselect6",
                                       "pwrite64",
                                       "pwritev",
                                       "pwritev2",
                                       "read",
                                       "readahead",
                                       "readlink",
                                       "readlinkat",
                                       "readv",
                                       "recvfrom",
                                       "recvmmsg",
                                       "recvmsg",
                                       "rename",
                                       "renameat",
                                       "renameat2",
                                       "restart_syscall",
                                       "riscv_flush_icache",
                                       "rmdir",
                                       "rseq",
                                       "rt_sigaction",
                                       "rt_sigpending",
                                       "rt_sigprocmask",
                                       "rt_sigreturn",
                                       "seccomp",
                                       "rt_sigsuspend",
                                       "rt_sigtimedwait",
                                       "sched_get_priority_max",
                                       "sched_get_priority_min",
                                       "sched_getaffinity",
                                       "sched_getparam",
                                       "sched_getscheduler",
                                       "sched_rr_get_interval",
                                       "sched_setaffinity",
                                       "sched_yield",
                                       "select",
                                       "semctl",
                                       "semget",
                                       "semop",
                                       "semtimedop",
                                       "sendfile",
                                       "sendmmsg",
                                       "sendmsg",
                                       "sendto",
                                       "set_robust_list",
                                       "set_tid_address",
                                       "setitimer",
                                       "setrlimit",
                                       "setsockopt",
                                       "shmat",
                                       "shmctl",
                                       "shmdt",
                                       "shmget",
                                       "shutdown",
                                       "sigaltstack",
                                       "socketpair",
                                       "stat",
                                       "statfs",
                                       "statx",
                                       "symlink",
                                       "symlinkat",
                                       "sync_file_range",
                                       "sysinfo",
                                       "time",
                                       "timer_create",
                                       "timer_delete",
                                       "timer_getoverrun",
                                       "timer_gettime",
                                       "timer_settime",
                                       "timerfd_create",
                                       "timerfd_gettime",
                                       "timerfd_settime",
                                       "times",
                                       "truncate",
                                       "umask",
                                       "uname",
                                       "unlink",
                                       "unlinkat",
                                       "utime",
                                       "utimensat",
                                       "utimes",
                                       "wait4",
                                       "waitid",
                                       "write",
                                       "writev"};

/** The first error stays; a rule the kernel or this architecture cannot have is no error. */
static void note(int *error, int result)
{
    if (*error == 0 && result != 0 && result != -EDOM) {
        *error = result;
    }
}

static void add_all(scmp_filter_ctx filter, int *error, uint32_t action, const char *const *names,
                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        if (number >= 0) {
            note(error, seccomp_rule_add(filter, action, number, 0));
        }
    }
}

static void add_one(scmp_filter_ctx filter, int *error, uint32_t action, int number,
                    struct scmp_arg_cmp when)
{
    note(error, seccomp_rule_add_array(filter, action, number, 1, &when));
}

/** Signals and limits: of this process alone. */
static void keep_to_itself(scmp_filter_ctx filter, int *error, bool strict)
{
    scmp_datum_t self = (scmp_datum_t)getpid();
    add_one(filter, error, REFUSE, SCMP_SYS(kill), SCMP_A0(SCMP_CMP_NE, self));
    add_one(filter, error, REFUSE, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_NE, self));
    add_one(filter, error, REFUSE, SCMP_SYS(prlimit64), SCMP_A0(SCMP_CMP_NE, 0));
    add_one(filter, error, REFUSE, SCMP_SYS(ioctl),
            SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCSTI));
    if (strict) {
        add_one(filter, error, SCMP_ACT_ALLOW, SCMP_SYS(kill), SCMP_A0(SCMP_CMP_EQ, self));
        add_one(filter, error, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, self));
        add_one(filter, error, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), SCMP_A0(SCMP_CMP_EQ, 0));
    }
}

/** clone3 hides its flags from a filter: refused as unknown, so that the C library takes clone. */
static void limit_clone(scmp_filter_ctx filter, int *error, bool strict)
{
    static const scmp_datum_t spaces[] = {CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
                                          CLONE_NEWIPC, CLONE_NEWUSER,   CLONE_NEWPID,
                                          CLONE_NEWNET};
    if (strict) {
        add_one(filter, error, REFUSE, SCMP_SYS(clone),
                SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
        add_one(filter, error, SCMP_ACT_ALLOW, SCMP_SYS(clone),
                SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
        note(error, seccomp_rule_add(filter, REFUSE, SCMP_SYS(fork), 0));
        note(error, seccomp_rule_add(filter, REFUSE, SCMP_SYS(vfork), 0));
        return;
    }
    note(error, seccomp_rule_add(filter, UNKNOWN, SCMP_SYS(clone3), 0));
    for (size_t i = 0; i < COUNT(spaces); i++) {
        add_one(filter, error, REFUSE, SCMP_SYS(clone),
                SCMP_A0(SCMP_CMP_MASKED_EQ, spaces[i], spaces[i]));
    }
}

static kw_status load(scmp_filter_ctx filter, int error)
{
    if (error == 0) {
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1); /* kernels before 4.14 cannot */
        error = seccomp_load(filter);
    }
    seccomp_release(filter);
    return error == 0 ? KW_OK : error == -ENOMEM ? KW_E_NOMEM : KW_E_UNSUPPORTED;
}

static kw_status limit(int resource, uint64_t value)
{
    struct rlimit now;
    if (value == 0) {
        return KW_OK;
    }
    if (getrlimit(resource, &now) != 0) {
        return KW_E_IO;
    }
    if (now.rlim_max == RLIM_INFINITY || value < now.rlim_max) {
        now.rlim_max = value; /* never above what the gateway itself may have */
    }
    now.rlim_cur = now.rlim_max;
    return setrlimit(resource, &now) == 0 ? KW_OK : KW_E_IO;
}

kw_status pool_sandbox_enter(enum pool_sandbox profile, const struct pool_sandbox_limits *limits)
{
    KW_TRY(limit(RLIMIT_AS, limits->memory));
    KW_TRY(limit(RLIMIT_NOFILE, limits->files));
    if (profile == POOL_SANDBOX_OFF) {
        return KW_OK;
    }
    bool strict = profile == POOL_SANDBOX_STRICT;
    scmp_filter_ctx filter = seccomp_init(strict ? UNKNOWN : SCMP_ACT_ALLOW);
    if (filter == NULL) {
        return KW_E_NOMEM;
    }
    int error = 0;
    add_all(filter, &error, REFUSE, refused, COUNT(refused));
    keep_to_itself(filter, &error, strict);
    limit_clone(filter, &error, strict);
    if (strict) {
        add_all(filter, &error, SCMP_ACT_ALLOW, harmless, COUNT(harmless));
        add_one(filter, &error, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_NE, TIOCSTI));
        add_one(filter, &error, SCMP_ACT_ALLOW, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
        add_one(filter, &error, REFUSE, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_NE, AF_UNIX));
    }
    return load(filter, error);
}

kw_status pool_sandbox_seal(enum pool_sandbox profile)
{
    if (profile != POOL_SANDBOX_STRICT) {
        return KW_OK;
    }
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (filter == NULL) {
        return KW_E_NOMEM;
    }
    int error = 0;
    struct scmp_arg_cmp executable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC);
    note(&error, seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1));
    add_one(filter, &error, REFUSE, SCMP_SYS(mmap), executable);
    add_one(filter, &error, REFUSE, SCMP_SYS(mprotect), executable);
    add_one(filter, &error, REFUSE, SCMP_SYS(pkey_mprotect), executable);
    note(&error, seccomp_rule_add(filter, REFUSE, SCMP_SYS(socket), 0));
    return load(filter, error);
}
