#include "gateway/domain/file.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/domain/shares.h"
#include "gateway/api/json/base64url.h"
#include "gateway/api/json/read.h"
#include "gateway/domain/file_internal.h"

kw_status gw_domain_x5t(char out[GW_DOMAIN_X5T_LEN + 1], const X509 *cert)
{
    uint8_t hash[32];
    unsigned len = 0;
    if (X509_digest(cert, EVP_sha256(), hash, &len) != 1 || len != sizeof hash)
        return KW_E_INTERNAL;
    out[gw_b64_encode(out, hash, sizeof hash)] = '\0';
    return KW_OK;
}

/* --- making --- */

static kw_status check_certs(X509 *const *certs, size_t count, unsigned required, char *error,
                             size_t error_len)
{
    error[0] = '\0';
    if (count < GW_DOMAIN_CERTS_MIN || count > GW_DOMAIN_CERTS_MAX)
        snprintf(error, error_len, "found %zu certificates; allowed: %d to %d", count,
                 GW_DOMAIN_CERTS_MIN, GW_DOMAIN_CERTS_MAX);
    else if (required < GW_DOMAIN_QUORUM_MIN || required > count)
        snprintf(error, error_len,
                 "found a quorum of %u with %zu certificates; allowed: %d to the number of "
                 "certificates",
                 required, count, GW_DOMAIN_QUORUM_MIN);
    for (size_t i = 0; !error[0] && i < count; i++) {
        EVP_PKEY *key = X509_get0_pubkey(certs[i]);
        if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
            EVP_PKEY_get_bits(key) < GW_DOMAIN_RSA_MIN)
            snprintf(error, error_len, "certificate %zu: its key is not RSA of at least %d bits",
                     i + 1, GW_DOMAIN_RSA_MIN);
        for (size_t j = 0; !error[0] && j < i; j++) {
            /* one key behind two certificates would be one operator with two shares */
            if (EVP_PKEY_eq(key, X509_get0_pubkey(certs[j])) == 1)
                snprintf(error, error_len, "certificates %zu and %zu have the same key", j + 1,
                         i + 1);
        }
    }
    return error[0] ? KW_E_INPUT : KW_OK;
}

static kw_status seal_share(json_t *shares, X509 *cert, struct kw_span share)
{
    char x5t[GW_DOMAIN_X5T_LEN + 1], *sealed = NULL;
    KW_TRY(gw_domain_x5t(x5t, cert));
    KW_TRY(gw_jwe_seal_rsa(&sealed, X509_get0_pubkey(cert), "not used", share));
    int failed =
        json_array_append_new(shares, json_pack("{s:s,s:s}", "enc_key", sealed, "x5t_256", x5t));
    free(sealed);
    return failed ? KW_E_NOMEM : KW_OK;
}

static kw_status seal_shares(json_t *out, struct kw_span master, X509 *const *certs, size_t count,
                             unsigned required)
{
    size_t len = KC_SHARE_LEN(master.len);
    uint8_t *shares = kw_secret_alloc(count * len);
    if (!shares)
        return KW_E_NOMEM;
    kw_status status = kc_shares_make(shares, master, (unsigned)count, required);
    for (size_t i = 0; status == KW_OK && i < count; i++)
        status = seal_share(out, certs[i], kw_span_of(shares + i * len, len));
    kw_secret_free(shares);
    return status;
}

static kw_status seal_domain(json_t *data, const struct kc_domain *domain, struct kw_span master)
{
    char tag[GW_DOMAIN_TAG_MAX], check[2 * KC_DOMAIN_CHECK_LEN + 1];
    struct kw_secret key;
    kc_domain_check(domain, check);
    snprintf(tag, sizeof tag, GW_DOMAIN_TAG "%s", check);
    KW_TRY(kc_domain_key(domain, &key));
    kw_status status = gw_domain_seal_datum(data, master, tag, kw_span_of(key.data, key.len));
    kw_secret_clear(&key);
    return status;
}

kw_status gw_domain_file_make(char **out, const struct kc_domain *domain, X509 *const *certs,
                              size_t count, unsigned required, char *error, size_t error_len)
{
    *out = NULL;
    KW_TRY(check_certs(certs, count, required, error, error_len));
    uint8_t *master = kw_secret_alloc(GW_DOMAIN_MASTER_LEN);
    json_t *data = json_array(), *shares = json_array();
    kw_status status = master && data && shares ? KW_OK : KW_E_NOMEM;
    struct kw_span key = kw_span_of(master, GW_DOMAIN_MASTER_LEN);
    if (status == KW_OK)
        status = kw_random(master, GW_DOMAIN_MASTER_LEN);
    if (status == KW_OK)
        status = seal_domain(data, domain, key);
    if (status == KW_OK)
        status = seal_shares(shares, key, certs, count, required);
    kw_secret_free(master);
    json_t *file =
        status != KW_OK
            ? NULL
            : json_pack("{s:{s:O,s:s},s:{s:O,s:s,s:i},s:i}", "EncData", "data", data, "kdf",
                        "sp108_kdf", "SharedKeys", "enc_shares", shares, "key_algorithm",
                        "shamir_share", "required", (int)required, "version", 2);
    *out = file ? json_dumps(file, JSON_COMPACT) : NULL;
    json_decref(file);
    json_decref(data);
    json_decref(shares);
    if (*out)
        return KW_OK;
    snprintf(error, error_len, "the security domain could not be sealed (%s)",
             kw_status_name(status == KW_OK ? KW_E_NOMEM : status));
    return status == KW_OK ? KW_E_NOMEM : status;
}

/* --- reading --- */

static bool read_shares(struct gw_domain_file *file, const json_t *list)
{
    size_t i;
    json_t *share;
    json_array_foreach(list, i, share)
    {
        const char *sealed = json_string_value(json_object_get(share, "enc_key"));
        const char *x5t = json_string_value(json_object_get(share, "x5t_256"));
        if (i == GW_DOMAIN_CERTS_MAX || !sealed || !x5t)
            return false;
        file->sealed[i] = sealed;
        file->x5t[i] = x5t;
        file->share_count = i + 1;
    }
    return file->share_count > 0;
}

static void read_check(struct gw_domain_file *file, const json_t *data)
{
    const char *tag = json_string_value(json_object_get(json_array_get(data, 0), "tag"));
    size_t len = strlen(GW_DOMAIN_TAG);
    if (tag && strncmp(tag, GW_DOMAIN_TAG, len) == 0 && strlen(tag + len) < sizeof file->check)
        snprintf(file->check, sizeof file->check, "%s", tag + len);
}

static const char *interpret(struct gw_domain_file *file)
{
    const json_t *shared = json_object_get(file->json, "SharedKeys");
    const json_t *data = json_object_get(json_object_get(file->json, "EncData"), "data");
    const char *algorithm = json_string_value(json_object_get(shared, "key_algorithm"));
    json_int_t required = json_integer_value(json_object_get(shared, "required"));
    if (!json_is_object(shared) || !gw_domain_data_ok(data))
        return "EncData or SharedKeys is missing or not whole";
    if (!algorithm || strcmp(algorithm, "shamir_share") != 0)
        return "its key_algorithm is not shamir_share";
    if (!read_shares(file, json_object_get(shared, "enc_shares")))
        return "its enc_shares are not whole";
    if (required < GW_DOMAIN_QUORUM_MIN || required > GW_DOMAIN_CERTS_MAX)
        return "its quorum is not in the range 2 to 10";
    if ((size_t)required > file->share_count)
        return "it has fewer shares than its quorum";
    file->required = (unsigned)required;
    read_check(file, data);
    return NULL;
}

kw_status gw_domain_file_read(struct gw_domain_file *out, const char *text, size_t len, char *error,
                              size_t error_len)
{
    struct gw_fault fault;
    *out = (struct gw_domain_file){.json = NULL};
    if (len > GW_DOMAIN_FILE_MAX) {
        snprintf(error, error_len, "not a security-domain file: longer than %d bytes",
                 GW_DOMAIN_FILE_MAX);
        return KW_E_INPUT;
    }
    out->json = gw_json_parse(kw_span_of(text, len), &fault);
    const char *why = out->json ? interpret(out) : "it is not a JSON object";
    if (!why)
        return KW_OK;
    snprintf(error, error_len, "not a usable security-domain file: %s", why);
    gw_domain_file_clear(out);
    return KW_E_INPUT;
}

void gw_domain_file_clear(struct gw_domain_file *file)
{
    json_decref(file->json);
    *file = (struct gw_domain_file){.json = NULL};
}
