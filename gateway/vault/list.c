/* Pages of objects: what their records say, not made usable. A record that does not open fails
 * its page: a list that leaves out what was tampered with would hide it. */

#include <stdlib.h>

#include "gateway/vault/vault.h"

struct page {
    struct vault *vault;
    const struct vault_kind *kind;
    vault_any_fn *done;
    void *ctx;
    char vault_name[STORE_VAULT_MAX + 1];
};

static void refuse(const struct vault_page_call *call, kw_status status)
{
    call->kind->answer_page(call->done, call->ctx, status, NULL, 0, false);
}

static struct page *page_create(const struct vault_page_call *call)
{
    size_t len = strlen(call->vault_name);
    bool fits = len > 0 && len <= STORE_VAULT_MAX;
    struct page *page = fits ? calloc(1, sizeof *page) : NULL;
    if (!page) {
        refuse(call, fits ? KW_E_NOMEM : KW_E_INPUT);
        return NULL;
    }
    *page = (struct page){
        .vault = call->vault, .kind = call->kind, .done = call->done, .ctx = call->ctx};
    memcpy(page->vault_name, call->vault_name, len + 1);
    return page;
}

static void on_rows(void *ctx, struct store_result *result)
{
    struct page *page = ctx;
    kw_status status = result->status;
    size_t count = 0;
    struct vault_object **objects =
        calloc(result->row_count ? result->row_count : 1, sizeof *objects);
    if (status == KW_OK && !objects)
        status = KW_E_NOMEM;
    while (status == KW_OK && count < result->row_count) {
        status = page->kind->open(page->vault, page->vault_name, &result->rows[count], false,
                                  &objects[count]);
        if (status == KW_OK)
            count++;
    }
    if (status == KW_OK)
        page->kind->answer_page(page->done, page->ctx, KW_OK, objects, count, result->more);
    else
        page->kind->answer_page(page->done, page->ctx, status, NULL, 0, false);
    for (size_t i = 0; i < count; i++)
        vault_object_unref(objects[i]);
    free(objects);
    free(page);
}

void vault_object_list(const struct vault_page_call *call)
{
    struct page *page = page_create(call);
    if (page)
        store_list(call->vault->store, call->loop, page->vault_name, call->kind->store,
                   call->deleted, call->after, call->limit, on_rows, page);
}

void vault_object_versions(const struct vault_page_call *call, struct kw_span name)
{
    char text[STORE_NAME_MAX + 1];
    if (name.len > STORE_NAME_MAX || (name.len && memchr(name.data, 0, name.len))) {
        refuse(call, KW_E_INPUT);
        return;
    }
    struct page *page = page_create(call);
    if (!page)
        return;
    if (name.len)
        memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    struct store_ref ref = {.vault = page->vault_name, .kind = call->kind->store, .name = text};
    store_list_versions(call->vault->store, call->loop, &ref, call->after, call->limit, on_rows,
                        page);
}
