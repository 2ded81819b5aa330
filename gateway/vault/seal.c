#include "gateway/vault/seal.h"

#include <stdlib.h>

#include "gateway/vault/keys/object.h"

struct place {
    uint8_t bytes[STORE_VAULT_MAX + STORE_NAME_MAX + STORE_VERSION_LEN + 8];
    size_t len;
};

static void add_folded(struct place *place, const char *text)
{
    for (; *text; text++)
        place->bytes[place->len++] = (uint8_t)vault_fold(*text);
    place->bytes[place->len++] = 0;
}

/** The additional data of the seal. Names compare without case, so they are bound without case; NUL
 *  cannot be part of a name, so no two places give the same bytes. */
static struct kw_span place_of(struct place *place, enum store_kind kind, const char *vault,
                               const char *name, const char *version)
{
    place->len = 0;
    place->bytes[place->len++] = (uint8_t)kind;
    add_folded(place, vault);
    add_folded(place, name);
    add_folded(place, version);
    return kw_span_of(place->bytes, place->len);
}

void vault_plain_free(struct kw_buf *plain)
{
    if (plain->data)
        kw_wipe(plain->data, plain->cap);
    free(plain->data);
    *plain = (struct kw_buf){0};
}

kw_status vault_seal_at(const struct kc_domain *domain, const struct store_ref *place,
                        struct kw_span plain, uint8_t **out, size_t *out_len)
{
    struct place at;
    size_t room = plain.len + KC_SEAL_OVERHEAD;
    struct kw_buf sealed = {.data = malloc(room), .cap = room};
    if (!sealed.data)
        return KW_E_NOMEM;
    kw_status status =
        kc_seal(domain, place_of(&at, place->kind, place->vault, place->name, place->version),
                plain, &sealed);
    if (status != KW_OK) {
        free(sealed.data);
        return status;
    }
    *out = sealed.data;
    *out_len = sealed.len;
    return KW_OK;
}

kw_status vault_seal(const struct kc_domain *domain, const struct vault_object *place,
                     struct kw_buf *plain, uint8_t **out, size_t *out_len)
{
    struct store_ref ref = {.vault = place->vault,
                            .kind = place->kind->store,
                            .name = place->name,
                            .version = place->version};
    kw_status status = vault_seal_at(domain, &ref, kw_buf_span(plain), out, out_len);
    vault_plain_free(plain);
    return status;
}

kw_status vault_unseal(const struct kc_domain *domain, enum store_kind kind, const char *vault,
                       const struct store_row *row, struct kw_buf *plain)
{
    struct place at;
    *plain = (struct kw_buf){0};
    if (row->record_len < KC_SEAL_OVERHEAD)
        return KW_E_INTEGRITY;
    size_t room = row->record_len - KC_SEAL_OVERHEAD;
    *plain = (struct kw_buf){.data = malloc(room ? room : 1), .cap = room};
    if (!plain->data)
        return KW_E_NOMEM;
    kw_status status = kc_open(domain, place_of(&at, kind, vault, row->name, row->version),
                               kw_span_of(row->record, row->record_len), plain);
    if (status != KW_OK)
        vault_plain_free(plain);
    return status;
}
