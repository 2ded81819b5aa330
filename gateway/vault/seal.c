#include "gateway/vault/seal.h"

#include <stdlib.h>

#include "crypto/base/secret.h"
#include "gateway/vault/object.h"

struct place {
    uint8_t bytes[STORE_VAULT_MAX + STORE_NAME_MAX + STORE_VERSION_LEN + 8];
    size_t len;
};

static kw_status add_folded(struct place *place, const char *text, size_t max)
{
    size_t len = text ? strlen(text) : 0;
    if (len == 0 || len > max)
        return KW_E_INPUT;
    for (size_t i = 0; i < len; i++)
        place->bytes[place->len++] = (uint8_t)vault_fold(text[i]);
    place->bytes[place->len++] = 0;
    return KW_OK;
}

/** The additional data of the seal. NUL cannot be part of a name, so no two places give the same
 *  bytes. */
static kw_status fill(struct place *place, const struct store_ref *ref)
{
    place->len = 0;
    place->bytes[place->len++] = (uint8_t)ref->kind;
    KW_TRY(add_folded(place, ref->vault, STORE_VAULT_MAX));
    KW_TRY(add_folded(place, ref->name, STORE_NAME_MAX));
    return add_folded(place, ref->version, STORE_VERSION_LEN);
}

kw_status vault_seal(const struct kc_domain *domain, const struct store_ref *ref,
                     struct kw_span plain, uint8_t **out, size_t *out_len)
{
    struct place place;
    KW_TRY(fill(&place, ref));
    struct kw_buf sealed = {.data = malloc(plain.len + KC_SEAL_OVERHEAD),
                            .cap = plain.len + KC_SEAL_OVERHEAD};
    if (!sealed.data)
        return KW_E_NOMEM;
    kw_status status = kc_seal(domain, kw_span_of(place.bytes, place.len), plain, &sealed);
    if (status != KW_OK) {
        free(sealed.data);
        return status;
    }
    *out = sealed.data;
    *out_len = sealed.len;
    return KW_OK;
}

kw_status vault_unseal(const struct kc_domain *domain, const struct store_ref *ref,
                       struct kw_span sealed, struct kw_buf *out)
{
    struct place place;
    *out = (struct kw_buf){0};
    if (sealed.len < KC_SEAL_OVERHEAD)
        return KW_E_INTEGRITY;
    KW_TRY(fill(&place, ref));
    size_t room = sealed.len - KC_SEAL_OVERHEAD;
    struct kw_buf plain = {.data = malloc(room ? room : 1), .cap = room};
    if (!plain.data)
        return KW_E_NOMEM;
    kw_status status = kc_open(domain, kw_span_of(place.bytes, place.len), sealed, &plain);
    if (status != KW_OK) {
        free(plain.data); /* kc_open wiped it */
        return status;
    }
    *out = plain;
    return KW_OK;
}

void vault_plain_free(struct kw_buf *plain)
{
    if (plain->data)
        kw_wipe(plain->data, plain->cap);
    free(plain->data);
    *plain = (struct kw_buf){0};
}
