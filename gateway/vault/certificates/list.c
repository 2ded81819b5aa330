/* Pages of certificates, with those that are being made for the first time on demand: two ordered
 * lists, merged. */

#include <stdlib.h>
#include <strings.h>

#include "gateway/vault/certificates/job.h"

#define PAGE_MAX 25

struct page {
    struct vault *vault;
    struct gw_loop *loop;
    char vault_name[STORE_VAULT_MAX + 1];
    char after[STORE_NAME_MAX + 1]; /* of the operations that are still to be read */
    bool deleted;
    unsigned limit;
    vault_cert_page_fn *done;
    void *ctx;
    struct vault_object *pending[PAGE_MAX];
    size_t pending_count;
    bool pending_more;
};

static void end(struct page *page, kw_status status, struct vault_object *const *objects,
                size_t count, bool more)
{
    page->done(page->ctx, status, objects, count, more);
    for (size_t i = 0; i < page->pending_count; i++)
        vault_object_unref(page->pending[i]);
    free(page);
}

/** What stands in both is shown as a certificate. */
static size_t merge(const struct page *page, struct vault_object **out,
                    struct vault_object *const *certs, size_t cert_count, bool *more)
{
    size_t count = 0, c = 0, p = 0;
    while (count < page->limit && (c < cert_count || p < page->pending_count)) {
        int order = c == cert_count            ? 1
                    : p == page->pending_count ? -1
                                               : strcasecmp(certs[c]->name, page->pending[p]->name);
        /* behind the end of a list that was cut nothing is known */
        if ((order > 0 && c == cert_count && *more) ||
            (order < 0 && p == page->pending_count && page->pending_more))
            break;
        out[count++] = order <= 0 ? certs[c] : page->pending[p];
        c += order <= 0;
        p += order >= 0;
    }
    *more = *more || page->pending_more || c < cert_count || p < page->pending_count;
    return count;
}

static void on_certs(void *ctx, kw_status status, struct vault_object *const *objects, size_t count,
                     bool more)
{
    struct page *page = ctx;
    struct vault_object *merged[PAGE_MAX];
    if (status == KW_OK)
        count = merge(page, merged, objects, count, &more);
    end(page, status, merged, count, more);
}

static struct vault_page_call call_of(struct page *page, const struct vault_kind *kind,
                                      const char *after, vault_cert_page_fn *done)
{
    return (struct vault_page_call){.kind = kind,
                                    .vault = page->vault,
                                    .loop = page->loop,
                                    .vault_name = page->vault_name,
                                    .deleted = page->deleted,
                                    .after = after[0] ? after : NULL,
                                    .limit = page->limit,
                                    .done = (vault_any_fn *)done,
                                    .ctx = page};
}

struct lists {
    struct page page;
    char first[STORE_NAME_MAX + 1]; /* where the page begins */
};

static void read_pending(struct page *page);

static void on_pending(void *ctx, kw_status status, struct vault_object *const *objects,
                       size_t count, bool more)
{
    struct page *page = ctx;
    if (status != KW_OK) {
        end(page, status, NULL, 0, false);
        return;
    }
    size_t i = 0;
    for (; i < count && page->pending_count < page->limit; i++) {
        if (cert_in_progress(((const struct vault_doc *)objects[i])->json))
            page->pending[page->pending_count++] = vault_object_ref(objects[i]);
        memcpy(page->after, objects[i]->name, sizeof page->after);
    }
    if (more && page->pending_count < page->limit && count > 0) {
        read_pending(page);
        return;
    }
    page->pending_more = more || i < count;
    const struct vault_page_call call =
        call_of(page, &vault_cert_kind, ((struct lists *)page)->first, on_certs);
    vault_object_list(&call);
}

static void read_pending(struct page *page)
{
    const struct vault_page_call call = call_of(page, &vault_pending_kind, page->after, on_pending);
    vault_object_list(&call);
}

void vault_cert_list(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                     bool deleted, bool pending, const char *after, unsigned limit,
                     vault_cert_page_fn *done, void *ctx)
{
    if (!pending) {
        vault_object_list(&VAULT_PAGE_CALL(&vault_cert_kind, .deleted = deleted));
        return;
    }
    struct lists *lists = calloc(1, sizeof *lists);
    if (!lists || limit > PAGE_MAX || strlen(vault_name) > STORE_VAULT_MAX ||
        (after && strlen(after) > STORE_NAME_MAX)) {
        done(ctx, lists ? KW_E_INPUT : KW_E_NOMEM, NULL, 0, false);
        free(lists);
        return;
    }
    lists->page = (struct page){
        .vault = vault, .loop = loop, .deleted = deleted, .limit = limit, .done = done, .ctx = ctx};
    memcpy(lists->page.vault_name, vault_name, strlen(vault_name) + 1);
    if (after) {
        memcpy(lists->page.after, after, strlen(after) + 1);
        memcpy(lists->first, after, strlen(after) + 1);
    }
    read_pending(&lists->page);
}

void vault_cert_versions(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                         struct kw_span name, const char *after, unsigned limit,
                         vault_cert_page_fn *done, void *ctx)
{
    vault_object_versions(&VAULT_PAGE_CALL(&vault_cert_kind), name);
}

void vault_issuer_list(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                       const char *after, unsigned limit, vault_cert_page_fn *done, void *ctx)
{
    vault_object_list(&VAULT_PAGE_CALL(&vault_issuer_kind, .deleted = false));
}
