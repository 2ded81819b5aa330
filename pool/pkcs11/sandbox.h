#pragma once
/* What a member host may ask of the kernel. A vendor's library runs there with the PIN and the
 * wrapping key at hand, and as the gateway's own user, so it is confined in two steps:
 *
 *   enter   before the library is loaded, because its constructors run in dlopen: no programs, no
 *           debugging of others, no signals to others, no mounts, namespaces, kernel keys, BPF,
 *           kernel modules, perf, userfaultfd, io_uring.
 *   seal    when the login is over and before sessions run: in `strict`, no further code may be
 *           mapped and no socket be made. Earlier it would refuse the library itself.
 *
 *   default  what is named above is refused, everything else is allowed: clients of network HSMs
 *            open sockets, some start threads and helpers by fork.
 *   strict   what is known to be harmless is allowed, everything else is refused, so also what a
 *            newer kernel brings; besides, no process is made and no socket but AF_UNIX, and of the
 *            file system there is only what pool/pkcs11/landlock.h names.
 *   off      no filter; PR_SET_NO_NEW_PRIVS and limits stay.
 *
 * A refused call fails with EPERM (what this list does not know, in strict, with ENOSYS, on which
 * libraries fall back) and is not fatal: vendor libraries probe what they may do. The kernel's
 * audit log has each refusal, where it keeps one. A call of another architecture kills the host. */

#include "crypto/base/status.h"
#include "pool/pool.h"

struct pool_sandbox_limits {
    uint64_t memory; /* bytes of address space; 0: none */
    uint32_t files;  /* open descriptors; 0: none */
};

/** Step one, in a process with one thread. KW_E_UNSUPPORTED when the kernel has no seccomp,
 *  KW_E_IO when a limit cannot be set; then nothing may be loaded. */
KW_MUST_CHECK kw_status pool_sandbox_enter(enum pool_sandbox profile,
                                           const struct pool_sandbox_limits *limits);

/** Step two; holds for every thread there is. */
KW_MUST_CHECK kw_status pool_sandbox_seal(enum pool_sandbox profile);
