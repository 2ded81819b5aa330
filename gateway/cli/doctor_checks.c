#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include "crypto/base/clock.h"
#include "crypto/lanes/lanes.h"
#include "gateway/cli/doctor.h"
#include "gateway/config/domain_key.h"
#include "gateway/store/peek.h"
#include "gateway/vault/keys/record.h"

#define DAY           86400
#define YEAR_2024     1704067200
#define DISK_BAD_MIB  16
#define DISK_WARN_MIB 512

/* --- files --- */

/* A file that holds a secret: there, and for its owner alone. */
static void secret_file(struct doctor *doctor, const char *step, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        doctor_add(doctor, "files", step, POOL_STEP_FAIL, POOL_BLAME_CONFIG,
                   "correct the path, or make the file", "%s: %s", path, strerror(errno));
    else if (st.st_mode & 077)
        doctor_add(doctor, "files", step, POOL_STEP_FAIL, POOL_BLAME_CONFIG,
                   "take it away from others: chmod 600 FILE", "%s: mode %04o lets others in", path,
                   (unsigned)st.st_mode & 07777u);
    else
        doctor_add(doctor, "files", step, POOL_STEP_OK, POOL_BLAME_NONE, "", "%s: mode %04o", path,
                   (unsigned)st.st_mode & 07777u);
}

static void data_folder(struct doctor *doctor)
{
    struct stat st;
    if (stat(doctor->data, &st) != 0)
        doctor_add(doctor, "files", "data", POOL_STEP_FAIL, POOL_BLAME_CONFIG,
                   "make it with: keyward init -c FILE", "%s: %s", doctor->data, strerror(errno));
    else if (st.st_mode & 022)
        doctor_add(doctor, "files", "data", POOL_STEP_FAIL, POOL_BLAME_CONFIG,
                   "chmod 700 the data directory", "%s: mode %04o lets others write", doctor->data,
                   (unsigned)st.st_mode & 07777u);
    else
        doctor_add(doctor, "files", "data", POOL_STEP_OK, POOL_BLAME_NONE, "", "%s: mode %04o",
                   doctor->data, (unsigned)st.st_mode & 07777u);
}

void doctor_files(struct doctor *doctor)
{
    char error[512];
    data_folder(doctor);
    if (gw_domain_key_read(&doctor->domain, doctor->data, error, sizeof error) == KW_OK) {
        char check[2 * KC_DOMAIN_CHECK_LEN + 1];
        kc_domain_check(doctor->domain, check);
        doctor_add(doctor, "files", "domain key", POOL_STEP_OK, POOL_BLAME_NONE, "",
                   "security domain %s", check);
    } else {
        doctor_add(doctor, "files", "domain key", POOL_STEP_FAIL, POOL_BLAME_CONFIG,
                   "put the domain's key back from its backup; keyward init is for a new domain "
                   "only",
                   "%s", error);
    }
    if (!doctor->config)
        return;
    if (doctor->config->tokens_file)
        secret_file(doctor, "tokens", doctor->config->tokens_file);
    for (size_t i = 0; i < doctor->config->member_count; i++) {
        if (doctor->config->members[i].pin_file)
            secret_file(doctor, "pin", doctor->config->members[i].pin_file);
        if (doctor->config->members[i].token_file)
            secret_file(doctor, "token", doctor->config->members[i].token_file);
    }
}

/* --- certificates --- */

static X509 *read_certificate(const char *path)
{
    FILE *stream = fopen(path, "re");
    X509 *cert = stream ? PEM_read_X509(stream, NULL, NULL, NULL) : NULL;
    if (stream)
        fclose(stream);
    ERR_clear_error();
    return cert;
}

static EVP_PKEY *read_key(const char *path)
{
    FILE *stream = fopen(path, "re");
    EVP_PKEY *key = stream ? PEM_read_PrivateKey(stream, NULL, NULL, (void *)(uintptr_t) "") : NULL;
    if (stream)
        fclose(stream);
    ERR_clear_error();
    return key;
}

static void expiry(struct doctor *doctor, const char *step, const char *path, const X509 *cert)
{
    int days = 0, seconds = 0;
    const char *next = "renew it and send SIGHUP to the gateway; no request is dropped";
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
        doctor_add(doctor, "tls", step, POOL_STEP_FAIL, POOL_BLAME_CONFIG,
                   "compare the machine's clock with the certificate", "%s: is not valid yet",
                   path);
    } else if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) != 1) {
        doctor_add(doctor, "tls", step, POOL_STEP_FAIL, POOL_BLAME_CONFIG, next,
                   "%s: its end cannot be read", path);
    } else if (days < 0 || seconds < 0) {
        doctor_add(doctor, "tls", step, POOL_STEP_FAIL, POOL_BLAME_CONFIG, next,
                   "%s: expired %d days ago", path, -days);
    } else {
        doctor_add(doctor, "tls", step, days < 30 ? POOL_STEP_WARN : POOL_STEP_OK,
                   days < 30 ? POOL_BLAME_CONFIG : POOL_BLAME_NONE, days < 30 ? next : "",
                   "%s: valid for %d more days", path, days);
    }
}

static void certificate(struct doctor *doctor, const char *step, const char *path,
                        const char *key_path)
{
    X509 *cert = read_certificate(path);
    if (!cert) {
        doctor_add(doctor, "tls", step, POOL_STEP_FAIL, POOL_BLAME_CONFIG, "correct the path",
                   "%s: no certificate can be read", path);
        return;
    }
    expiry(doctor, step, path, cert);
    X509_free(cert);
    if (!key_path)
        return;
    cert = read_certificate(path);
    EVP_PKEY *key = read_key(key_path);
    if (!key)
        doctor_add(doctor, "tls", "private key", POOL_STEP_FAIL, POOL_BLAME_CONFIG,
                   "correct the path; the key must have no passphrase", "%s: no key can be read",
                   key_path);
    else if (!cert || X509_check_private_key(cert, key) != 1)
        doctor_add(doctor, "tls", "private key", POOL_STEP_FAIL, POOL_BLAME_CONFIG,
                   "give certificate and key of the same pair", "%s: does not belong to %s",
                   key_path, path);
    else
        secret_file(doctor, "private key", key_path);
    ERR_clear_error();
    EVP_PKEY_free(key);
    X509_free(cert);
}

void doctor_certificates(struct doctor *doctor)
{
    for (size_t i = 0; doctor->config && i < doctor->config->listener_count; i++) {
        const struct gw_listener_config *listener = &doctor->config->listeners[i];
        if (listener->certificate)
            certificate(doctor, "certificate", listener->certificate, listener->private_key);
        if (listener->client_ca)
            certificate(doctor, "client ca", listener->client_ca, NULL);
    }
}

/* --- the store --- */

struct inventory {
    struct doctor *doctor;
    size_t unreadable;
};

static void count_row(void *ctx, const char *vault, const struct store_row *row)
{
    struct inventory *inventory = ctx;
    struct vault_key *key = NULL;
    struct kc_public pub;
    if (!inventory->doctor->domain)
        return;
    if (vault_record_open(inventory->doctor->domain, vault, row, &key, &pub) != KW_OK) {
        inventory->unreadable++;
        return;
    }
    if (key->hsm)
        inventory->doctor->hsm_keys++;
    else
        inventory->doctor->software_keys++;
    vault_key_unref(key);
}

void doctor_store(struct doctor *doctor)
{
    char stored[2 * KC_DOMAIN_CHECK_LEN + 1], own[2 * KC_DOMAIN_CHECK_LEN + 1] = "", error[512];
    struct inventory inventory = {.doctor = doctor};
    kw_status status = store_peek(doctor->data, STORE_KEY, stored, sizeof stored, count_row,
                                  &inventory, error, sizeof error);
    if (status != KW_OK) {
        doctor_add(doctor, "store", "database",
                   status == KW_E_NOT_FOUND ? POOL_STEP_SKIP : POOL_STEP_FAIL, POOL_BLAME_NONE,
                   status == KW_E_NOT_FOUND ? "" : "look at the disk; restore the last backup",
                   "%s", error);
        return;
    }
    if (doctor->domain)
        kc_domain_check(doctor->domain, own);
    if (doctor->domain && stored[0] && strcmp(stored, own) != 0)
        doctor_add(doctor, "store", "domain", POOL_STEP_FAIL, POOL_BLAME_CONFIG,
                   "put the domain key back that belongs to this store",
                   "the store is of domain %s, domain.key is of %s", stored, own);
    else if (inventory.unreadable > 0)
        doctor_add(doctor, "store", "inventory", POOL_STEP_FAIL, POOL_BLAME_NONE,
                   "restore the last backup beside it and compare",
                   "%zu records of keys do not open under the domain", inventory.unreadable);
    else
        doctor_add(doctor, "store", "inventory", doctor->domain ? POOL_STEP_OK : POOL_STEP_SKIP,
                   POOL_BLAME_NONE, "",
                   "%zu versions of HSM keys, %zu of software keys; every record opens",
                   doctor->hsm_keys, doctor->software_keys);
}

/* --- the machine --- */

static void disk(struct doctor *doctor)
{
    struct statvfs fs;
    if (statvfs(doctor->data, &fs) != 0)
        return; /* said by the data directory's own check */
    unsigned long long mib = (unsigned long long)fs.f_bavail * fs.f_frsize >> 20;
    enum pool_outcome outcome = mib < DISK_BAD_MIB    ? POOL_STEP_FAIL
                                : mib < DISK_WARN_MIB ? POOL_STEP_WARN
                                                      : POOL_STEP_OK;
    doctor_add(doctor, "machine", "disk", outcome,
               outcome == POOL_STEP_OK ? POOL_BLAME_NONE : POOL_BLAME_CONFIG,
               outcome == POOL_STEP_OK ? "" : "make room: changes are refused on a full disk",
               "%llu MiB free under %s", mib, doctor->data);
}

static void wall_clock(struct doctor *doctor)
{
    char path[PATH_MAX];
    struct stat st;
    struct timex state = {.modes = 0};
    int64_t now = kw_wall_s();
    snprintf(path, sizeof path, "%s/keyward.db", doctor->data);
    bool before = stat(path, &st) == 0 && (int64_t)st.st_mtim.tv_sec > now + 60;
    if (now < YEAR_2024 || before) {
        doctor_add(doctor, "machine", "clock", POOL_STEP_FAIL, POOL_BLAME_CONFIG,
                   "set the clock and start its synchronisation",
                   before ? "the clock is behind the store's last change" : "the clock is wrong");
        return;
    }
    bool synced = adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) == 0;
    doctor_add(doctor, "machine", "clock", POOL_STEP_OK, POOL_BLAME_NONE, "",
               synced ? "plausible, and synchronised"
                      : "plausible; the kernel does not know of a synchronisation");
}

static void locked_memory(struct doctor *doctor)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return;
    bool low = limit.rlim_max != RLIM_INFINITY && limit.rlim_max < (8u << 20);
    if (limit.rlim_max == RLIM_INFINITY)
        doctor_add(doctor, "machine", "memlock", POOL_STEP_OK, POOL_BLAME_NONE, "",
                   "no limit on locked memory (of this shell)");
    else
        doctor_add(doctor, "machine", "memlock", low ? POOL_STEP_WARN : POOL_STEP_OK,
                   low ? POOL_BLAME_CONFIG : POOL_BLAME_NONE,
                   low ? "raise LimitMEMLOCK of the service: secrets may be paged out otherwise"
                       : "",
                   "at most %llu KiB of locked memory (of this shell)",
                   (unsigned long long)limit.rlim_max >> 10);
}

void doctor_machine(struct doctor *doctor)
{
    disk(doctor);
    wall_clock(doctor);
    locked_memory(doctor);
    doctor_add(doctor, "machine", "crypto core", POOL_STEP_OK, POOL_BLAME_NONE, "",
               "self-test passed; RSA-2048 by %s, AES-KW by %s",
               kc_lanes_kernel(KC_SHAPE_RSA2048_PRIVATE), kc_lanes_kernel(KC_SHAPE_AES_KW));
}
