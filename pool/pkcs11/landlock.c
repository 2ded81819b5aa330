#include "pool/pkcs11/landlock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* rights that are younger than the oldest headers this is built with */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define MAKE                                                                                       \
    (LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM |     \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                                 \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REFER)
#define WRITE                                                                                      \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV)
/* never given: programs are not started, and a device file opens the whole machine */
#define NEVER                                                                                      \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)
/* all that a rule on something else than a folder may give */
#define OF_FILES (LANDLOCK_ACCESS_FS_READ_FILE | WRITE)

#define SOFTHSM_CONF "/etc/softhsm2.conf"

/** What the rules of one kernel are made of. */
struct rules {
    int fd;
    uint64_t known; /* rights of this kernel's version */
};

int pool_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static uint64_t rights_of(int abi)
{
    uint64_t all = READ | WRITE | MAKE | NEVER;
    all &= abi < 2 ? ~LANDLOCK_ACCESS_FS_REFER : all;
    all &= abi < 3 ? ~LANDLOCK_ACCESS_FS_TRUNCATE : all;
    return abi < 5 ? all & ~LANDLOCK_ACCESS_FS_IOCTL_DEV : all;
}

static kw_status allow_open(const struct rules *rules, int fd, uint64_t rights)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return KW_E_IO;
    }
    rights &= S_ISDIR(st.st_mode) ? rules->known : rules->known & OF_FILES;
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    long result = syscall(SYS_landlock_add_rule, rules->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    return result == 0 ? KW_OK : errno == ENOMEM ? KW_E_NOMEM : KW_E_UNSUPPORTED;
}

/** KW_E_NOT_FOUND when it cannot be opened. */
static kw_status allow(const struct rules *rules, const char *path, uint64_t rights)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return KW_E_NOT_FOUND;
    }
    kw_status status = allow_open(rules, fd, rights);
    close(fd);
    return status;
}

static kw_status allow_if_there(const struct rules *rules, const char *path, uint64_t rights)
{
    kw_status status = allow(rules, path, rights);
    return status == KW_E_NOT_FOUND ? KW_OK : status;
}

/** All there is in /etc now, but the gateway's own: PIN files and private keys are kept there. */
static kw_status allow_etc(const struct rules *rules)
{
    kw_status status = KW_OK;
    DIR *folder = opendir("/etc");
    if (folder == NULL) {
        return KW_OK;
    }
    for (struct dirent *entry; status == KW_OK && (entry = readdir(folder)) != NULL;) {
        char path[sizeof(entry->d_name) + 8];
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "keyward") == 0) {
            continue;
        }
        snprintf(path, sizeof(path), "/etc/%s", name);
        status = allow_if_there(rules, path, READ);
    }
    closedir(folder);
    return status;
}

static kw_status allow_system(const struct rules *rules)
{
    static const char *const readable[] = {"/usr",   "/lib",    "/lib32",
                                           "/lib64", "/libx32", "/dev/urandom"};
    for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]); i++) {
        KW_TRY(allow_if_there(rules, readable[i], READ));
    }
    KW_TRY(allow_etc(rules));
    /* This descriptor stays open: a rule holds on to what /proc made for the path when it was
     * looked up, and /proc makes it anew once nothing refers to it any more. */
    int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return self < 0 ? KW_OK : allow_open(rules, self, READ);
}

static kw_status allow_folder_of(const struct rules *rules, const char *file)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(file, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - file);
    if (slash == NULL || len >= sizeof(folder)) {
        return KW_OK; /* found by the loader in its own folders */
    }
    memcpy(folder, file, len);
    memcpy(folder + len, "/", len == 0 ? 2 : 1);
    folder[len + (len == 0)] = '\0';
    return allow_if_there(rules, folder, READ);
}

/* --- SoftHSM --- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct kw_span trimmed(struct kw_span text)
{
    while (text.len > 0 && is_blank(text.data[0])) {
        text = kw_span_of(text.data + 1, text.len - 1);
    }
    while (text.len > 0 && is_blank(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

bool pool_landlock_token_folder(char *out, size_t cap, struct kw_span text)
{
    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        struct kw_span line = kw_span_of(text.data, end ? (size_t)(end - text.data) : text.len);
        size_t taken = line.len + (end != NULL);
        text = kw_span_of(text.data + taken, text.len - taken);
        const uint8_t *comment = line.len > 0 ? memchr(line.data, '#', line.len) : NULL;
        line.len = comment ? (size_t)(comment - line.data) : line.len;
        const uint8_t *is = line.len > 0 ? memchr(line.data, '=', line.len) : NULL;
        if (is == NULL) {
            continue;
        }
        struct kw_span name = trimmed(kw_span_of(line.data, (size_t)(is - line.data)));
        struct kw_span value = trimmed(kw_span_of(is + 1, line.len - (size_t)(is + 1 - line.data)));
        if (kw_span_equal(name, kw_span_str("directories.tokendir"))) {
            if (value.len == 0 || value.len >= cap) {
                return false;
            }
            memcpy(out, value.data, value.len);
            out[value.len] = '\0';
            return true;
        }
    }
    return false;
}

static kw_status read_text(struct kw_buf *out, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && out->len < out->cap) {
        n = read(fd, out->data + out->len, out->cap - out->len);
        out->len += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    return n < 0 ? KW_E_NOT_FOUND : KW_OK;
}

static kw_status allow_softhsm(const struct rules *rules, char *wrong, size_t wrong_len)
{
    uint8_t room[16384];
    struct kw_buf text = {room, 0, sizeof(room)};
    const char *named = getenv("SOFTHSM2_CONF");
    const char *conf = named != NULL ? named : SOFTHSM_CONF;
    char folder[PATH_MAX];
    snprintf(wrong, wrong_len, "%s", conf);
    KW_TRY(read_text(&text, conf));
    KW_TRY(allow(rules, conf, READ));
    if (!pool_landlock_token_folder(folder, sizeof(folder), kw_buf_span(&text))) {
        return KW_OK; /* SoftHSM's own words on that are better */
    }
    snprintf(wrong, wrong_len, "%s", folder);
    return allow(rules, folder, READ | WRITE | MAKE);
}

/* --- all of it --- */

static kw_status allow_module(const struct rules *rules, const char *module, bool *softhsm)
{
    char real[PATH_MAX];
    const char *target = realpath(module, real) != NULL ? real : module;
    const char *slash = strrchr(target, '/');
    *softhsm = strstr(slash != NULL ? slash : target, "softhsm") != NULL;
    KW_TRY(allow_folder_of(rules, module));
    return allow_folder_of(rules, target);
}

static kw_status allow_paths(const struct rules *rules, struct kw_span paths, char *wrong,
                             size_t wrong_len)
{
    const char *path = (const char *)paths.data;
    for (size_t left = paths.len; left > 0;) {
        size_t len = strnlen(path, left);
        if (len == left) {
            return KW_E_INPUT;
        }
        snprintf(wrong, wrong_len, "%s", path);
        KW_TRY(allow(rules, path, READ | WRITE | MAKE));
        path += len + 1;
        left -= len + 1;
    }
    return KW_OK;
}

static kw_status allow_all(const struct rules *rules, const struct pool_landlock *view, char *wrong,
                           size_t wrong_len)
{
    bool softhsm;
    KW_TRY(allow_system(rules));
    KW_TRY(allow_module(rules, view->module, &softhsm));
    KW_TRY(allow_paths(rules, view->paths, wrong, wrong_len));
    return softhsm ? allow_softhsm(rules, wrong, wrong_len) : KW_OK;
}

kw_status pool_landlock_enter(const struct pool_landlock *view, char *wrong, size_t wrong_len)
{
    int abi = pool_landlock_abi();
    wrong[0] = '\0';
    if (abi == 0) {
        return KW_OK;
    }
    struct rules rules = {.known = rights_of(abi)};
    struct landlock_ruleset_attr attr = {.handled_access_fs = rules.known};
    rules.fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (rules.fd < 0) {
        return KW_E_UNSUPPORTED;
    }
    kw_status status = allow_all(&rules, view, wrong, wrong_len);
    if (status == KW_OK && syscall(SYS_landlock_restrict_self, rules.fd, 0) != 0) {
        status = KW_E_UNSUPPORTED;
    }
    close(rules.fd);
    return status;
}
