/* Pages of keys: what their records say, without their pool half. A record that does not open fails
 * its page: a list that leaves out what was tampered with would hide it. */

#include <stdlib.h>

#include "gateway/vault/vault.h"

struct page {
    struct vault *vault;
    vault_page_fn *done;
    void *ctx;
    char vault_name[STORE_VAULT_MAX + 1];
};

static struct page *page_create(struct vault *vault, const char *vault_name, vault_page_fn *done,
                                void *ctx)
{
    size_t len = strlen(vault_name);
    struct page *page = len > 0 && len <= STORE_VAULT_MAX ? calloc(1, sizeof *page) : NULL;
    if (!page) {
        done(ctx, len > 0 && len <= STORE_VAULT_MAX ? KW_E_NOMEM : KW_E_INPUT, NULL, 0, false);
        return NULL;
    }
    *page = (struct page){.vault = vault, .done = done, .ctx = ctx};
    memcpy(page->vault_name, vault_name, len + 1);
    return page;
}

static void on_rows(void *ctx, struct store_result *result)
{
    struct page *page = ctx;
    kw_status status = result->status;
    size_t count = 0;
    struct vault_key **keys = calloc(result->row_count ? result->row_count : 1, sizeof *keys);
    if (status == KW_OK && !keys)
        status = KW_E_NOMEM;
    while (status == KW_OK && count < result->row_count) {
        status = vault_row_open(page->vault, page->vault_name, &result->rows[count], false,
                                &keys[count]);
        if (status == KW_OK)
            count++;
    }
    if (status == KW_OK)
        page->done(page->ctx, KW_OK, keys, count, result->more);
    else
        page->done(page->ctx, status, NULL, 0, false);
    for (size_t i = 0; i < count; i++)
        vault_key_unref(keys[i]);
    free(keys);
    free(page);
}

void vault_key_list(struct vault *vault, struct gw_loop *loop, const char *vault_name, bool deleted,
                    const char *after, unsigned limit, vault_page_fn *done, void *ctx)
{
    struct page *page = page_create(vault, vault_name, done, ctx);
    if (page)
        store_list(vault->store, loop, page->vault_name, STORE_KEY, deleted, after, limit, on_rows,
                   page);
}

void vault_key_versions(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                        struct kw_span name, const char *after, unsigned limit, vault_page_fn *done,
                        void *ctx)
{
    char text[STORE_NAME_MAX + 1];
    if (name.len > STORE_NAME_MAX || (name.len && memchr(name.data, 0, name.len))) {
        done(ctx, KW_E_INPUT, NULL, 0, false);
        return;
    }
    struct page *page = page_create(vault, vault_name, done, ctx);
    if (!page)
        return;
    if (name.len)
        memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    struct store_ref ref = {.vault = page->vault_name, .kind = STORE_KEY, .name = text};
    store_list_versions(vault->store, loop, &ref, after, limit, on_rows, page);
}
