/* The transfer blob, on both of its sides: made where the operators' keys are, opened where the
 * exchange key is. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/domain/shares.h"
#include "crypto/domain/sp108.h"
#include "gateway/api/json/read.h"
#include "gateway/domain/file_internal.h"

#define DATA_MAX 16

/* --- entries of the data --- */

bool gw_domain_data_ok(const json_t *data)
{
    size_t i;
    json_t *datum;
    if (!json_is_array(data) || json_array_size(data) == 0 || json_array_size(data) > DATA_MAX)
        return false;
    json_array_foreach(data, i, datum)
    {
        if (!json_is_string(json_object_get(datum, "compact_jwe")) ||
            !json_is_string(json_object_get(datum, "tag")))
            return false;
    }
    return true;
}

static kw_status key_of(uint8_t **out, struct kw_span master, const char *tag)
{
    *out = kw_secret_alloc(GW_JWE_KEY);
    if (!*out)
        return KW_E_NOMEM;
    kw_status status =
        kc_sp108(*out, GW_JWE_KEY, master, kw_span_str(tag), (struct kw_span){.data = NULL});
    if (status != KW_OK) {
        kw_secret_free(*out);
        *out = NULL;
    }
    return status;
}

kw_status gw_domain_seal_datum(json_t *data, struct kw_span master, const char *tag,
                               struct kw_span plain)
{
    uint8_t *key;
    char *sealed = NULL;
    KW_TRY(key_of(&key, master, tag));
    kw_status status = gw_jwe_seal_dir(&sealed, key, tag, plain);
    kw_secret_free(key);
    if (status == KW_OK &&
        json_array_append_new(data, json_pack("{s:s,s:s}", "compact_jwe", sealed, "tag", tag)))
        status = KW_E_NOMEM;
    free(sealed);
    return status;
}

kw_status gw_domain_open_datum(struct kw_secret *out, const json_t *datum, struct kw_span master)
{
    uint8_t *key;
    const char *tag = json_string_value(json_object_get(datum, "tag"));
    *out = (struct kw_secret){.data = NULL};
    KW_TRY(key_of(&key, master, tag));
    kw_status status =
        gw_jwe_open_dir(out, json_string_value(json_object_get(datum, "compact_jwe")), key, tag);
    kw_secret_free(key);
    return status;
}

/* --- the operators' side --- */

struct opened {
    struct kw_secret share[GW_DOMAIN_CERTS_MAX];
    bool done[GW_DOMAIN_CERTS_MAX];
    struct kw_span span[GW_DOMAIN_CERTS_MAX]; /* the first `count` of them */
    unsigned count;
};

static void opened_clear(struct opened *opened)
{
    for (size_t i = 0; i < GW_DOMAIN_CERTS_MAX; i++)
        kw_secret_clear(&opened->share[i]);
}

/* The share that this key opens: a wrong key fails at the tag of the JWE. */
static kw_status open_share(struct opened *opened, const struct gw_domain_file *file,
                            const struct gw_domain_operator *who, char *error, size_t error_len)
{
    for (size_t i = 0; i < file->share_count; i++) {
        struct kw_secret share;
        if (gw_jwe_open_rsa(&share, file->sealed[i], who->key) != KW_OK)
            continue;
        if (opened->done[i]) {
            kw_secret_clear(&share);
            snprintf(error, error_len, "%s opens the same share as another key that was given",
                     who->name);
            return KW_E_CRYPTO;
        }
        opened->done[i] = true;
        opened->share[i] = share;
        opened->span[opened->count++] = kw_span_of(share.data, share.len);
        return KW_OK;
    }
    snprintf(error, error_len,
             "%s opens no share of this file: another operator's key, or the file was changed",
             who->name);
    return KW_E_CRYPTO;
}

static kw_status join_shares(uint8_t master[KC_SHARES_SECRET], size_t *len,
                             const struct gw_domain_file *file,
                             const struct gw_domain_operator *operators, size_t count, char *error,
                             size_t error_len)
{
    struct opened opened = {.count = 0};
    kw_status status = KW_OK;
    if (count < file->required) {
        snprintf(error, error_len, "found %zu private keys; this file needs %u of its %zu", count,
                 file->required, file->share_count);
        return KW_E_CRYPTO;
    }
    for (size_t i = 0; status == KW_OK && i < count && opened.count < file->required; i++)
        status = open_share(&opened, file, &operators[i], error, error_len);
    if (status == KW_OK) {
        status = opened.span[0].len <= KC_SHARE_LEN(KC_SHARES_SECRET)
                     ? kc_shares_join(master, opened.span, opened.count)
                     : KW_E_INPUT;
        *len = opened.span[0].len / 2;
        if (status != KW_OK)
            snprintf(error, error_len, "the shares of this file do not fit together");
    }
    opened_clear(&opened);
    return status == KW_E_INPUT ? KW_E_CRYPTO : status;
}

/* Every entry from the old master key to the new one, in order. */
static kw_status reseal(json_t *to, const json_t *from, struct kw_span old_master,
                        struct kw_span new_master, char *error, size_t error_len)
{
    size_t i;
    json_t *datum;
    json_array_foreach(from, i, datum)
    {
        struct kw_secret plain;
        kw_status status = gw_domain_open_datum(&plain, datum, old_master);
        if (status != KW_OK) {
            snprintf(error, error_len,
                     "the joined shares do not open the data of this file: a share or the data was "
                     "changed");
            return status == KW_E_INPUT ? KW_E_CRYPTO : status;
        }
        status =
            gw_domain_seal_datum(to, new_master, json_string_value(json_object_get(datum, "tag")),
                                 kw_span_of(plain.data, plain.len));
        kw_secret_clear(&plain);
        KW_TRY(status);
    }
    return KW_OK;
}

static kw_status blob_of(char **out, json_t *data, struct kw_span master, X509 *exchange)
{
    char x5t[GW_DOMAIN_X5T_LEN + 1], *wrapped = NULL;
    KW_TRY(gw_domain_x5t(x5t, exchange));
    KW_TRY(gw_jwe_seal_rsa(&wrapped, X509_get0_pubkey(exchange), "not used", master));
    json_t *blob = json_pack("{s:{s:O,s:s},s:{s:s,s:s}}", "EncData", "data", data, "kdf",
                             "sp108_kdf", "WrappedKey", "enc_key", wrapped, "x5t_256", x5t);
    free(wrapped);
    *out = blob ? json_dumps(blob, JSON_COMPACT) : NULL;
    json_decref(blob);
    return *out ? KW_OK : KW_E_NOMEM;
}

kw_status gw_domain_transfer_make(char **out, const struct gw_domain_file *file,
                                  const struct gw_domain_operator *operators, size_t count,
                                  X509 *exchange, char *error, size_t error_len)
{
    *out = NULL;
    error[0] = '\0';
    uint8_t *keys = kw_secret_alloc(KC_SHARES_SECRET + GW_DOMAIN_MASTER_LEN);
    json_t *data = json_array();
    size_t len = 0;
    kw_status status = keys && data ? KW_OK : KW_E_NOMEM;
    struct kw_span fresh = kw_span_of(keys + KC_SHARES_SECRET, GW_DOMAIN_MASTER_LEN);
    if (status == KW_OK)
        status = join_shares(keys, &len, file, operators, count, error, error_len);
    if (status == KW_OK)
        status = kw_random(keys + KC_SHARES_SECRET, GW_DOMAIN_MASTER_LEN);
    if (status == KW_OK)
        status = reseal(data, json_object_get(json_object_get(file->json, "EncData"), "data"),
                        kw_span_of(keys, len), fresh, error, error_len);
    if (status == KW_OK)
        status = blob_of(out, data, fresh, exchange);
    kw_secret_free(keys);
    json_decref(data);
    if (status != KW_OK && !error[0])
        snprintf(error, error_len, "the transfer blob cannot be made (%s)", kw_status_name(status));
    return status;
}

/* --- the instance's side --- */

/* Every entry must open; one of them is the domain. */
static kw_status domain_of(struct kc_domain **out, const json_t *data, struct kw_span master)
{
    kw_status status = KW_OK;
    size_t i;
    json_t *datum;
    json_array_foreach(data, i, datum)
    {
        const char *tag = json_string_value(json_object_get(datum, "tag"));
        struct kw_secret plain;
        char check[2 * KC_DOMAIN_CHECK_LEN + 1];
        status = gw_domain_open_datum(&plain, datum, master);
        if (status == KW_OK && strncmp(tag, GW_DOMAIN_TAG, strlen(GW_DOMAIN_TAG)) == 0) {
            status = *out ? KW_E_INPUT : kc_domain_open(out, kw_span_of(plain.data, plain.len));
            if (status == KW_OK) {
                kc_domain_check(*out, check);
                status = strcmp(tag + strlen(GW_DOMAIN_TAG), check) == 0 ? KW_OK : KW_E_INTEGRITY;
            }
        }
        kw_secret_clear(&plain);
        if (status != KW_OK)
            return status;
    }
    return *out ? KW_OK : KW_E_NOT_FOUND;
}

static kw_status refuse(kw_status status, const char *why, char *error, size_t error_len)
{
    snprintf(error, error_len, "%s", why);
    return status;
}

static kw_status open_blob(struct kc_domain **out, const json_t *blob, const char *x5t,
                           EVP_PKEY *exchange, char *error, size_t error_len)
{
    const json_t *data = json_object_get(json_object_get(blob, "EncData"), "data");
    const json_t *wrapped = json_object_get(blob, "WrappedKey");
    const char *sealed = json_string_value(json_object_get(wrapped, "enc_key"));
    const char *named = json_string_value(json_object_get(wrapped, "x5t_256"));
    if (!gw_domain_data_ok(data) || !sealed || !named)
        return refuse(KW_E_INPUT, "not a transfer blob: EncData or WrappedKey is not whole", error,
                      error_len);
    if (strcmp(named, x5t) != 0)
        return refuse(KW_E_CRYPTO,
                      "the transfer blob was made for another exchange key; make it anew with the "
                      "one that init-recovery gives now",
                      error, error_len);
    struct kw_secret master;
    kw_status status = gw_jwe_open_rsa(&master, sealed, exchange);
    if (status == KW_OK)
        status = domain_of(out, data, kw_span_of(master.data, master.len));
    kw_secret_clear(&master);
    if (status == KW_E_NOT_FOUND)
        return refuse(KW_E_INPUT, "the transfer blob holds no security domain of keyward's", error,
                      error_len);
    if (status != KW_OK)
        return refuse(status == KW_E_NOMEM ? status : KW_E_CRYPTO,
                      "the transfer blob does not open: it was changed on its way", error,
                      error_len);
    return KW_OK;
}

kw_status gw_domain_transfer_open(struct kc_domain **out, const char *text, size_t len,
                                  const char *x5t, EVP_PKEY *exchange, char *error,
                                  size_t error_len)
{
    struct gw_fault fault;
    *out = NULL;
    json_t *blob = len <= GW_DOMAIN_FILE_MAX ? gw_json_parse(kw_span_of(text, len), &fault) : NULL;
    if (!blob)
        return refuse(KW_E_INPUT, "not a transfer blob: it is not a JSON object of usable size",
                      error, error_len);
    kw_status status = open_blob(out, blob, x5t, exchange, error, error_len);
    json_decref(blob);
    if (status != KW_OK) {
        kc_domain_destroy(*out);
        *out = NULL;
    }
    return status;
}
