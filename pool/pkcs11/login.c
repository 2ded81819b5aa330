#include "pool/pkcs11/login.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

#include "crypto/base/hex.h"
#include "crypto/base/secret.h"
#include "pool/pkcs11/login_turns.h"
#include "pool/pkcs11/state_file.h"
#include "pool/pkcs11/wire.h"

#define SALT_LEN       16
#define ROUNDS         60000
#define PRINT_HEX      64
#define UNRESOLVED_MAX 5u
#define ERROR_STATE    0x01000000u /* CKF_ERROR_STATE of PKCS#11 2.40 */

/* What is known of a member's last login. */
struct record {
    char state[16];            /* trying, good, refused, idle */
    char pin[PRINT_HEX + 1];   /* of the last attempt, bound to the PIN alone */
    char token[PRINT_HEX + 1]; /* the same, bound to PIN and token */
    char good[PRINT_HEX + 1];  /* PIN and token of the last success, or empty */
    unsigned unresolved;       /* attempts in a row that ended without a word */
};

/* --- files --- */

static bool path_of(char *out, const char *dir, const char *member)
{
    return pool_state_path(out, dir, "login-", member) == KW_OK;
}

static kw_status load_salt(const char *dir, uint8_t salt[SALT_LEN])
{
    char path[POOL_STATE_PATH], bytes[SALT_LEN + 1];
    size_t len = 0;
    if (snprintf(path, sizeof(path), "%s/login.salt", dir) >= (int)sizeof(path) - 8) {
        return KW_E_IO;
    }
    kw_status status = pool_state_read(path, bytes, sizeof(bytes), &len);
    if (status == KW_E_NOT_FOUND) {
        KW_TRY(kw_random(bytes, SALT_LEN));
        status = pool_state_write(dir, path, bytes, SALT_LEN);
        len = SALT_LEN;
    }
    if (status != KW_OK || len != SALT_LEN) {
        return KW_E_IO;
    }
    memcpy(salt, bytes, SALT_LEN);
    return KW_OK;
}

/** A record that cannot be read in full is KW_E_IO: then nothing may be tried. */
static kw_status load_record(const char *path, struct record *record)
{
    char text[1024];
    size_t len = 0;
    memset(record, 0, sizeof(*record));
    snprintf(record->state, sizeof record->state, "%s", "idle");
    kw_status status = pool_state_read(path, text, sizeof(text), &len);
    if (status == KW_E_NOT_FOUND) {
        return KW_OK;
    }
    KW_TRY(status);
    /* an empty fingerprint is written as "-": a scan needs a character */
    if (sscanf(text,
               "{\"state\":\"%15[a-z]\",\"pin\":\"%64[0-9a-f-]\",\"token\":\"%64[0-9a-f-]\","
               "\"good\":\"%64[0-9a-f-]\",\"unresolved\":%u}",
               record->state, record->pin, record->token, record->good, &record->unresolved) != 5) {
        return KW_E_IO;
    }
    return KW_OK;
}

static kw_status store_record(const char *dir, const char *path, const struct record *record)
{
    char text[1024];
    int len = snprintf(text, sizeof(text),
                       "{\"state\":\"%s\",\"pin\":\"%s\",\"token\":\"%s\",\"good\":\"%s\","
                       "\"unresolved\":%u}\n",
                       record->state, record->pin, record->token,
                       record->good[0] != '\0' ? record->good : "-", record->unresolved);
    return pool_state_write(dir, path, text, (size_t)len);
}

/* --- fingerprints --- */

static kw_status print_of(struct kw_span pin, struct kw_span serial, const uint8_t *salt,
                          char out[PRINT_HEX + 1])
{
    uint8_t bound[SALT_LEN + 64], hash[PRINT_HEX / 2];
    if (serial.len > sizeof(bound) - SALT_LEN) {
        return KW_E_INPUT;
    }
    memcpy(bound, salt, SALT_LEN);
    if (serial.len > 0) {
        memcpy(bound + SALT_LEN, serial.data, serial.len);
    }
    if (PKCS5_PBKDF2_HMAC((const char *)pin.data, (int)pin.len, bound, (int)(SALT_LEN + serial.len),
                          ROUNDS, EVP_sha256(), sizeof(hash), hash) != 1) {
        return KW_E_INTERNAL;
    }
    kw_hex_write(out, hash, sizeof(hash));
    return KW_OK;
}

/** Was this PIN refused by another member's token? */
static bool refused_elsewhere(const char *dir, const char *own_path, const char *pin)
{
    DIR *list = opendir(dir);
    if (list == NULL) {
        return false;
    }
    bool refused = false;
    const struct dirent *entry;
    while (!refused && (entry = readdir(list)) != NULL) {
        char path[POOL_STATE_PATH];
        struct record record;
        size_t len = strlen(entry->d_name);
        if (strncmp(entry->d_name, "login-", 6) != 0 || len < 5 ||
            strcmp(entry->d_name + len - 5, ".json") != 0 ||
            snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) >= (int)sizeof(path) ||
            strcmp(path, own_path) == 0 || load_record(path, &record) != KW_OK) {
            continue;
        }
        refused = strcmp(record.state, "refused") == 0 && strcmp(record.pin, pin) == 0;
    }
    closedir(list);
    return refused;
}

/* --- the rules --- */

/** NULL when the token's flags allow an attempt. An operator cannot overrule these here: the token
 *  itself has to be seen to first. */
static const char *flags_forbid(uint64_t flags)
{
    if ((flags & CKF_USER_PIN_LOCKED) != 0) {
        return "the token says that its PIN is locked";
    }
    if ((flags & CKF_USER_PIN_FINAL_TRY) != 0) {
        return "the token has one try left: log in by hand";
    }
    if ((flags & CKF_USER_PIN_TO_BE_CHANGED) != 0) {
        return "the token wants its PIN changed";
    }
    if ((flags & ERROR_STATE) != 0) {
        return "the token is in its error state";
    }
    return NULL;
}

static const char *record_forbids(const struct record *record, const char *token_print,
                                  uint64_t flags)
{
    if (strcmp(record->token, token_print) != 0) {
        return NULL; /* another PIN or another token: not tried yet */
    }
    if (strcmp(record->state, "refused") == 0) {
        return "this PIN was refused: change the PIN file or recover the member by hand";
    }
    if (strcmp(record->state, "trying") != 0) {
        return NULL;
    }
    bool known_good = strcmp(record->good, token_print) == 0;
    if (!known_good || (flags & CKF_USER_PIN_COUNT_LOW) != 0 ||
        record->unresolved >= UNRESOLVED_MAX) {
        return "an earlier attempt with this PIN ended without an answer: recover the member by "
               "hand";
    }
    return NULL;
}

kw_status pool_login_look(const struct pool_login *login, enum pool_login_standing *standing)
{
    char path[POOL_STATE_PATH], salt_path[POOL_STATE_PATH];
    uint8_t salt[SALT_LEN];
    struct record record;
    char pin[PRINT_HEX + 1], token[PRINT_HEX + 1];
    *standing = POOL_LOGIN_UNTRIED;
    if (login->state_dir == NULL || !path_of(path, login->state_dir, login->member) ||
        snprintf(salt_path, sizeof(salt_path), "%s/login.salt", login->state_dir) >=
            (int)sizeof(salt_path)) {
        return KW_E_IO;
    }
    if (access(salt_path, F_OK) != 0) {
        return KW_OK; /* nothing was ever tried from here, and looking makes no salt */
    }
    KW_TRY(load_salt(login->state_dir, salt));
    KW_TRY(load_record(path, &record));
    KW_TRY(print_of(login->pin, kw_span_of(NULL, 0), salt, pin));
    KW_TRY(print_of(login->pin, login->serial, salt, token));
    bool same = strcmp(record.token, token) == 0;
    if (same && strcmp(record.state, "refused") == 0) {
        *standing = POOL_LOGIN_WAS_REFUSED;
    } else if (strcmp(record.good, token) == 0) {
        *standing = POOL_LOGIN_KNOWN_GOOD;
    } else if (same && strcmp(record.state, "trying") == 0) {
        *standing = POOL_LOGIN_UNRESOLVED;
    } else if (refused_elsewhere(login->state_dir, path, pin)) {
        *standing = POOL_LOGIN_REFUSED_ELSEWHERE;
    }
    return KW_OK;
}

kw_status pool_login_begin(const struct pool_login *login, const char **reason)
{
    char path[POOL_STATE_PATH];
    uint8_t salt[SALT_LEN];
    struct record record;
    char pin[PRINT_HEX + 1], token[PRINT_HEX + 1];
    *reason = "the login record cannot be kept";
    if (login->state_dir == NULL || !path_of(path, login->state_dir, login->member)) {
        return KW_E_IO;
    }
    KW_TRY(load_salt(login->state_dir, salt));
    KW_TRY(load_record(path, &record));
    KW_TRY(print_of(login->pin, kw_span_of(NULL, 0), salt, pin));
    KW_TRY(print_of(login->pin, login->serial, salt, token));
    const char *forbidden = flags_forbid(login->flags);
    if (forbidden == NULL && !login->operator_allows) {
        forbidden = record_forbids(&record, token, login->flags);
        if (forbidden == NULL && strcmp(record.good, token) != 0 &&
            refused_elsewhere(login->state_dir, path, pin)) {
            forbidden = "this PIN was refused by another member";
        }
    }
    if (forbidden != NULL) {
        *reason = forbidden;
        return KW_E_FORBIDDEN;
    }
    bool proven = strcmp(record.good, token) == 0;
    if (!proven && !pool_login_turn_take(login->state_dir, login->member, pin)) {
        *reason = "another member is trying this PIN";
        return KW_E_BUSY;
    }
    bool again = strcmp(record.state, "trying") == 0 && strcmp(record.token, token) == 0;
    record.unresolved = again ? record.unresolved + 1 : 0;
    snprintf(record.state, sizeof record.state, "%s", "trying");
    snprintf(record.pin, sizeof record.pin, "%s", pin);
    snprintf(record.token, sizeof record.token, "%s", token);
    kw_status status = store_record(login->state_dir, path, &record);
    if (status != KW_OK) {
        pool_login_abandon(login->state_dir, login->member);
    }
    return status;
}

kw_status pool_login_settle(const struct pool_login *login, enum pool_login_outcome outcome)
{
    char path[POOL_STATE_PATH];
    struct record record;
    if (!path_of(path, login->state_dir, login->member)) {
        return KW_E_IO;
    }
    KW_TRY(load_record(path, &record));
    record.unresolved = 0;
    switch (outcome) {
    case POOL_LOGIN_GOOD:
        snprintf(record.state, sizeof record.state, "%s", "good");
        snprintf(record.good, sizeof record.good, "%s", record.token);
        break;
    case POOL_LOGIN_REFUSED:
        snprintf(record.state, sizeof record.state, "%s", "refused");
        record.good[0] = '\0';
        break;
    case POOL_LOGIN_UNSPENT:
        snprintf(record.state, sizeof record.state, "%s", "idle");
        break;
    }
    kw_status status = store_record(login->state_dir, path, &record);
    pool_login_turn_end(login->state_dir, login->member); /* others now find this record */
    return status;
}

void pool_login_abandon(const char *state_dir, const char *member)
{
    pool_login_turn_end(state_dir, member);
}

kw_status pool_login_read_pin(const char *path, struct kw_secret *pin, const char **reason)
{
    struct stat info;
    *reason = "the PIN file cannot be read";
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return KW_E_IO;
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || (info.st_mode & 0177) != 0) {
        close(fd);
        *reason = "the PIN file must be a regular file with mode 0600 or 0400";
        return KW_E_FORBIDDEN;
    }
    uint8_t bytes[POOL_WIRE_PIN_MAX + 2];
    ssize_t n = read(fd, bytes, sizeof(bytes) - 1);
    close(fd);
    kw_status status = KW_E_IO;
    if (n >= 0) {
        bytes[n] = '\0';
        size_t len = strcspn((const char *)bytes, "\r\n");
        *reason = "the PIN file is empty or its first line is too long";
        status = len == 0 || len > POOL_WIRE_PIN_MAX ? KW_E_INPUT
                                                     : kw_secret_copy(pin, kw_span_of(bytes, len));
    }
    kw_wipe(bytes, sizeof(bytes));
    return status;
}
