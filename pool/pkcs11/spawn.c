#include "pool/pkcs11/spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL_FD  3
#define ENVIRON_MAX 64

extern char **environ;

/* What a host may see of the gateway's environment: paths that modules look for. A name that ends
 * in
 * '*' stands for all that begin so. Nothing here is a secret; PINs never travel this way. */
static const char *const allowed[] = {
    "HOME",
    "PATH",
    "TZ",
    "TMPDIR",
    "SOFTHSM2_CONF",              /* SoftHSM */
    "ChrystokiConfigurationPath", /* Thales Luna */
    "CKNFAST_*",                  /* Entrust nShield */
    "NFAST_*",
    "CLOUDHSM_*",            /* AWS CloudHSM */
    "CS_PKCS11_R*",          /* Utimaco */
    "P11NETHSM_CONFIG_FILE", /* Nitrokey NetHSM */
    "YUBIHSM_PKCS11_CONF",   /* YubiHSM 2 */
    "KMS_PKCS11_CONFIG",     /* Google Cloud KMS */
    "TPM2_PKCS11_STORE",     /* TPM 2 */
    "GREP11_*",              /* IBM */
    "KEYWARD_HOST_*",        /* limits of the host itself */
    "KEYWARD_FAULTS",        /* plan of the fault-injecting module of the tests */
};

static bool is_allowed(const char *entry)
{
    size_t name = strcspn(entry, "=");
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        size_t len = strlen(allowed[i]);
        bool open_end = allowed[i][len - 1] == '*';
        if (open_end ? name >= len - 1 && strncmp(entry, allowed[i], len - 1) == 0
                     : name == len && strncmp(entry, allowed[i], len) == 0) {
            return true;
        }
    }
    return false;
}

static void pick_environment(char *out[ENVIRON_MAX + 1])
{
    size_t count = 0;
    for (char **entry = environ; *entry != NULL && count < ENVIRON_MAX; entry++) {
        if (is_allowed(*entry)) {
            out[count++] = *entry;
        }
    }
    out[count] = NULL;
}

static int start(const char *program, pid_t *pid, int theirs)
{
    char *argv[] = {(char *)program, (char *)"member-host", NULL};
    char *environment[ENVIRON_MAX + 1];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    pick_environment(environment);
    sigemptyset(&none);
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return -1;
    }
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -1;
    }
    /* dup2 on the same number only clears close-on-exec, which is what is wanted then */
    int failed = posix_spawn_file_actions_adddup2(&actions, theirs, CONTROL_FD) ||
                 posix_spawn_file_actions_addclosefrom_np(&actions, CONTROL_FD + 1) ||
                 posix_spawnattr_setsigmask(&attributes, &none) ||
                 posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK) ||
                 posix_spawn(pid, program, &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed ? -1 : 0;
}

unsigned pool_spawn_processors(unsigned hosts)
{
    cpu_set_t mine;
    unsigned count =
        sched_getaffinity(0, sizeof(mine), &mine) == 0 ? (unsigned)CPU_COUNT(&mine) : 1;
    return count > hosts ? count / hosts : 1;
}

kw_status pool_spawn_host(const char *program, pid_t *pid, int *control)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return KW_E_IO;
    }
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0 ||
        start(program != NULL ? program : "/proc/self/exe", pid, ends[1]) != 0) {
        close(ends[0]);
        close(ends[1]);
        return KW_E_IO;
    }
    close(ends[1]);
    *control = ends[0];
    return KW_OK;
}
