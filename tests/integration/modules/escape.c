/* A PKCS#11 module in front of another (KEYWARD_HOST_ESCAPE_MODULE) that tries to get out of its
 * process in its first C_Sign, and writes what each attempt came to into the file
 * KEYWARD_HOST_ESCAPE_LOG: one line each, "NAME ok" or "NAME ERRNO". KEYWARD_HOST_ESCAPE_OUTSIDE is
 * a folder with a file `secret`, a file `victim` and nothing else. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

static CK_FUNCTION_LIST functions;
static CK_FUNCTION_LIST *behind;

static void tell(FILE *log, const char *name, long result)
{
    fprintf(log, "%s %s\n", name, result >= 0 ? "ok" : strerrorname_np(errno));
}

static void try_process(FILE *log)
{
    char *none[] = {NULL};
    fflush(log);
    pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    tell(log, "fork", child);
    if (child > 0) {
        waitpid(child, NULL, 0);
    }
    /* where programs may be started this says that there is no such file */
    tell(log, "execve", execve("/nonexistent/program", none, none));
    tell(log, "ptrace", ptrace(PTRACE_ATTACH, 0x3ffffff0, NULL, NULL));
    tell(log, "kill", kill(getppid(), 0));
    tell(log, "unshare", syscall(SYS_unshare, 0));
}

static void tell_opened(FILE *log, const char *name, int fd)
{
    tell(log, name, fd);
    if (fd >= 0) {
        close(fd);
    }
}

static void try_files(FILE *log)
{
    const char *outside = getenv("KEYWARD_HOST_ESCAPE_OUTSIDE");
    int folder = open(outside, O_PATH | O_DIRECTORY | O_CLOEXEC);
    tell_opened(log, "read", openat(folder, "secret", O_RDONLY | O_CLOEXEC));
    tell_opened(log, "list", openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    tell_opened(log, "write", openat(folder, "victim", O_WRONLY | O_CLOEXEC));
    tell_opened(log, "make", openat(folder, "made", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    tell(log, "mkdir", mkdirat(folder, "made-folder", 0700));
    tell(log, "symlink", symlinkat("/", folder, "made-link"));
    tell(log, "remove", unlinkat(folder, "victim", 0));
    close(folder);
    tell_opened(log, "proc", open("/proc/version", O_RDONLY | O_CLOEXEC));
    tell_opened(log, "system", open("/etc/passwd", O_RDONLY | O_CLOEXEC));
    tell_opened(log, "etc", open("/etc/passwd", O_WRONLY | O_APPEND | O_CLOEXEC));
    tell_opened(log, "self", open("/proc/self/status", O_RDONLY | O_CLOEXEC));
    tell_opened(log, "random", open("/dev/urandom", O_RDONLY | O_CLOEXEC));
    tell_opened(log, "null", open("/dev/null", O_WRONLY | O_CLOEXEC));
}

static void try_everything(void)
{
    FILE *log = fopen(getenv("KEYWARD_HOST_ESCAPE_LOG"), "we");
    if (log == NULL) {
        return;
    }
    try_process(log);
    try_files(log);
    tell(log, "keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -4, 0));
    tell(log, "perf", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    tell(log, "inet", socket(AF_INET, SOCK_STREAM, 0));
    tell(log, "unix", socket(AF_UNIX, SOCK_STREAM, 0));
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    tell(log, "code", code == MAP_FAILED ? -1 : 0);
    fclose(log);
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR signature,
                  CK_ULONG_PTR signature_len)
{
    static _Atomic int tried;
    if (!tried++) {
        try_everything();
    }
    return behind->C_Sign(session, data, len, signature, signature_len);
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    const char *path = getenv("KEYWARD_HOST_ESCAPE_MODULE");
    void *library = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    CK_C_GetFunctionList get = NULL;
    void *symbol = library != NULL ? dlsym(library, "C_GetFunctionList") : NULL;
    memcpy(&get, &symbol, sizeof(get));
    if (get == NULL || get(&behind) != CKR_OK) {
        return CKR_GENERAL_ERROR;
    }
    functions = *behind;
    functions.C_Sign = sign;
    *list = &functions;
    return CKR_OK;
}
