/* Request bodies: what the quick scan takes, the full reader takes with the same result; a batch
 * splits the same however it is cut; base64url has one spelling. */
#include <stdlib.h>
#include <string.h>

#include "gateway/api/crypto/batch_split.h"
#include "gateway/api/crypto/body.h"
#include "gateway/api/json/base64url.h"
#include "gateway/base/arena.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct gw_crypto_body *a, const struct gw_crypto_body *b)
{
    return kw_span_equal(a->alg, b->alg) && kw_span_equal(a->value, b->value) &&
           kw_span_equal(a->digest, b->digest) && kw_span_equal(a->iv, b->iv) &&
           kw_span_equal(a->aad, b->aad) && kw_span_equal(a->tag, b->tag);
}

static void crypto_body(struct kw_span json)
{
    struct gw_arena *arena = gw_arena_create();
    struct gw_crypto_body quick, full;
    struct gw_fault fault;
    if (arena == NULL)
        return;
    memset(&quick, 0, sizeof quick);
    memset(&full, 0, sizeof full);
    bool parsed = gw_crypto_body_parse(json, true, arena, &full, &fault);
    if (gw_crypto_body_scan(json, &quick) && (!parsed || !same(&quick, &full)))
        abort();
    gw_arena_destroy(arena);
}

static uint64_t split(struct kw_span input, size_t step)
{
    struct gw_split splitter;
    uint64_t sum = 0;
    gw_split_init(&splitter, 4096);
    for (bool on = true; on && input.len > 0;) {
        size_t len = input.len < step ? input.len : step;
        struct kw_span part = kw_span_of(input.data, len), element;
        enum gw_split_result result;
        while ((result = gw_split_next(&splitter, &part, &element)) == GW_SPLIT_ELEMENT) {
            for (size_t i = 0; element.data != NULL && i < element.len; i++)
                sum = sum * 31 + element.data[i];
            sum = sum * 31 + element.len;
        }
        on = result == GW_SPLIT_MORE;
        input = kw_span_of(input.data + len, input.len - len);
    }
    sum = sum * 2 + gw_split_end(&splitter);
    gw_split_free(&splitter);
    return sum;
}

static void base64url(struct kw_span text)
{
    uint8_t *bytes = malloc(gw_b64_decoded_room(text.len));
    size_t len = 0;
    if (bytes != NULL && gw_b64_decode(bytes, &len, (const char *)text.data, text.len)) {
        char *again = malloc(gw_b64_encoded_len(len) + 1);
        size_t n = gw_b64_encode(again, bytes, len);
        for (size_t i = 0; i < n; i++) {
            char c = (char)text.data[i];
            if (again[i] != (c == '+' ? '-' : c == '/' ? '_' : c))
                abort();
        }
        free(again);
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kw_span input = kw_span_of(data, size);
    crypto_body(input);
    base64url(input);
    if (split(input, size) != split(input, 1))
        abort();
    return 0;
}
