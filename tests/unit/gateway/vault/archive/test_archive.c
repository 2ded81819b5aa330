/* Archives: what is put comes back in order, in bounded memory; what was changed, cut, extended,
 * reordered or made elsewhere is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/vault/archive/archive.h"
#include "gateway/vault/archive/record.h"

struct file {
    uint8_t *data;
    size_t len, cap, at;
    size_t step; /* most bytes of one read */
};

static kw_status take(void *ctx, struct kw_span bytes)
{
    struct file *file = ctx;
    if (file->cap - file->len < bytes.len) {
        file->cap = (file->len + bytes.len) * 2;
        file->data = realloc(file->data, file->cap);
        assert_non_null(file->data);
    }
    memcpy(file->data + file->len, bytes.data, bytes.len);
    file->len += bytes.len;
    return KW_OK;
}

static kw_status give(void *ctx, uint8_t *out, size_t len, size_t *got)
{
    struct file *file = ctx;
    size_t left = file->len - file->at;
    if (len > left)
        len = left;
    if (file->step && len > file->step)
        len = file->step;
    memcpy(out, file->data + file->at, len);
    file->at += len;
    *got = len;
    return KW_OK;
}

static int setup(void **state)
{
    struct kc_domain *domain = NULL;
    if (kc_domain_create(&domain) != KW_OK)
        return 1;
    *state = domain;
    return 0;
}

static int teardown(void **state)
{
    kc_domain_destroy(*state);
    return 0;
}

/* `count` entries, number i of i * 37 % 5000 bytes of value i. */
static struct file make(const struct kc_domain *domain, unsigned count)
{
    struct file file = {0};
    struct archive_writer *writer = NULL;
    struct archive_manifest manifest;
    uint8_t bytes[5000];
    assert_int_equal(archive_writer_create(&writer, domain, ARCHIVE_VAULT, 1234567, take, &file),
                     KW_OK);
    for (unsigned i = 0; i < count; i++) {
        size_t len = i * 37 % sizeof bytes;
        memset(bytes, (int)i, len);
        assert_int_equal(archive_put(writer, i % 2 ? ARCHIVE_RECORD : ARCHIVE_SETTING,
                                     kw_span_of(bytes, len / 2),
                                     kw_span_of(bytes + len / 2, len - len / 2)),
                         KW_OK);
    }
    assert_int_equal(archive_finish(writer, &manifest), KW_OK);
    assert_int_equal(manifest.entries[ARCHIVE_RECORD] + manifest.entries[ARCHIVE_SETTING], count);
    archive_writer_destroy(writer);
    return file;
}

/* Reads to the end: KW_OK when all of it is good. */
static kw_status read_all(const struct kc_domain *domain, struct file *file, unsigned *count)
{
    struct archive_reader *reader = NULL;
    struct archive_head head;
    enum archive_entry type;
    struct kw_span entry;
    file->at = 0;
    *count = 0;
    kw_status status = archive_reader_create(&reader, &head, domain, give, file);
    if (status != KW_OK)
        return status;
    while ((status = archive_next(reader, &type, &entry)) == KW_OK) {
        unsigned i = (*count)++;
        assert_int_equal(type, i % 2 ? ARCHIVE_RECORD : ARCHIVE_SETTING);
        assert_int_equal(entry.len, i * 37 % 5000);
        for (size_t j = 0; j < entry.len; j++)
            assert_int_equal(entry.data[j], (uint8_t)i);
    }
    if (status == KW_E_NOT_FOUND) {
        /* the header is authenticated with the first chunk */
        assert_true(head.what == ARCHIVE_VAULT && head.created == 1234567);
        assert_int_equal(archive_next(reader, &type, &entry), KW_E_NOT_FOUND);
    }
    archive_reader_destroy(reader);
    return status == KW_E_NOT_FOUND ? KW_OK : status;
}

static void test_round_trips(void **state)
{
    static const unsigned counts[] = {0, 1, 2, 100, 1000};
    static const size_t steps[] = {0, 1, 7};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct file file = make(*state, counts[i]);
        for (size_t j = 0; j < sizeof steps / sizeof steps[0]; j++) {
            unsigned count = 0;
            file.step = steps[j];
            assert_int_equal(read_all(*state, &file, &count), KW_OK);
            assert_int_equal(count, counts[i]);
        }
        free(file.data);
    }
}

static void test_largest_entry(void **state)
{
    struct file file = {0};
    struct archive_writer *writer = NULL;
    struct archive_reader *reader = NULL;
    struct archive_manifest manifest;
    struct archive_head head;
    enum archive_entry type;
    struct kw_span entry;
    uint8_t *bytes = calloc(1, ARCHIVE_ENTRY_MAX + 1);
    assert_int_equal(archive_writer_create(&writer, *state, ARCHIVE_FULL, 1, take, &file), KW_OK);
    assert_int_equal(archive_put(writer, ARCHIVE_ROLE, kw_span_of(bytes, ARCHIVE_CHUNK - 6),
                                 (struct kw_span){0}),
                     KW_OK);
    assert_int_equal(archive_put(writer, ARCHIVE_ROLE, kw_span_of(bytes, ARCHIVE_ENTRY_MAX),
                                 (struct kw_span){0}),
                     KW_OK);
    assert_int_equal(archive_put(writer, ARCHIVE_ROLE, kw_span_of(bytes, ARCHIVE_ENTRY_MAX),
                                 kw_span_of(bytes, 1)),
                     KW_E_TOO_LARGE);
    assert_int_equal(archive_put(writer, ARCHIVE_TYPES, kw_span_of(bytes, 1), (struct kw_span){0}),
                     KW_E_INPUT);
    assert_int_equal(archive_put(writer, 0, kw_span_of(bytes, 1), (struct kw_span){0}), KW_E_INPUT);
    assert_int_equal(archive_finish(writer, &manifest), KW_OK);
    archive_writer_destroy(writer);
    assert_int_equal(archive_reader_create(&reader, &head, *state, give, &file), KW_OK);
    assert_int_equal(archive_next(reader, &type, &entry), KW_OK);
    assert_int_equal(archive_next(reader, &type, &entry), KW_OK);
    assert_int_equal(entry.len, ARCHIVE_ENTRY_MAX);
    assert_int_equal(archive_next(reader, &type, &entry), KW_E_NOT_FOUND);
    assert_int_equal(archive_reader_manifest(reader)->entries[ARCHIVE_ROLE], 2);
    archive_reader_destroy(reader);
    free(file.data);
    free(bytes);
}

/* Every byte of a small archive changed, every length of it; nothing opens, nothing crashes. */
static void test_changed_and_cut(void **state)
{
    struct file file = make(*state, 5);
    unsigned count = 0;
    for (size_t i = 0; i < file.len; i++)
        for (unsigned bit = 0; bit < 8; bit += 7) {
            file.data[i] ^= (uint8_t)(1u << bit);
            assert_int_not_equal(read_all(*state, &file, &count), KW_OK);
            file.data[i] ^= (uint8_t)(1u << bit);
        }
    size_t whole = file.len;
    for (file.len = 0; file.len < whole; file.len++)
        assert_int_not_equal(read_all(*state, &file, &count), KW_OK);
    assert_int_equal(read_all(*state, &file, &count), KW_OK);
    take(&file, kw_span_str("x"));
    assert_int_equal(read_all(*state, &file, &count), KW_E_INTEGRITY);
    free(file.data);
}

static size_t chunk_at(const struct file *file, size_t at)
{
    const uint8_t *p = file->data + at;
    return 4 + ((size_t)(p[0] & 0x7f) << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);
}

/* Chunks that are exchanged, left out, repeated, or taken from another archive. */
static void test_chunks_are_bound(void **state)
{
    struct file file = make(*state, 300), other = make(*state, 300);
    unsigned count = 0;
    size_t one = ARCHIVE_HEADER, two = one + chunk_at(&file, one);
    size_t three = two + chunk_at(&file, two);
    struct file swapped = {0}, without = {0}, twice = {0}, mixed = {0};
    take(&swapped, kw_span_of(file.data, one));
    take(&swapped, kw_span_of(file.data + two, three - two));
    take(&swapped, kw_span_of(file.data + one, two - one));
    take(&swapped, kw_span_of(file.data + three, file.len - three));
    assert_int_equal(read_all(*state, &swapped, &count), KW_E_INTEGRITY);
    take(&without, kw_span_of(file.data, one));
    take(&without, kw_span_of(file.data + two, file.len - two));
    assert_int_equal(read_all(*state, &without, &count), KW_E_INTEGRITY);
    take(&twice, kw_span_of(file.data, two));
    take(&twice, kw_span_of(file.data + one, file.len - one));
    assert_int_equal(read_all(*state, &twice, &count), KW_E_INTEGRITY);
    take(&mixed, kw_span_of(file.data, one));
    take(&mixed, kw_span_of(other.data + one, other.len - one));
    assert_int_equal(read_all(*state, &mixed, &count), KW_E_INTEGRITY);
    free(swapped.data);
    free(without.data);
    free(twice.data);
    free(mixed.data);
    free(file.data);
    free(other.data);
}

static void test_other_domain(void **state)
{
    struct kc_domain *other = NULL;
    struct file file = make(*state, 3);
    unsigned count = 0;
    assert_int_equal(kc_domain_create(&other), KW_OK);
    assert_int_equal(read_all(other, &file, &count), KW_E_FORBIDDEN);
    /* and one that claims to be of this domain */
    struct file forged = make(other, 3);
    memcpy(forged.data + 8, file.data + 8, KC_DOMAIN_CHECK_LEN);
    assert_int_equal(read_all(*state, &forged, &count), KW_E_INTEGRITY);
    file.data[4] = 2;
    assert_int_equal(read_all(*state, &file, &count), KW_E_UNSUPPORTED);
    file.data[0] = 'x';
    assert_int_equal(read_all(*state, &file, &count), KW_E_INPUT);
    free(file.data);
    free(forged.data);
    kc_domain_destroy(other);
}

static void test_records(void **state)
{
    (void)state;
    uint8_t room[ARCHIVE_RECORD_HEAD + 8];
    struct kw_buf head = {.data = room, .cap = sizeof room};
    struct store_row row = {.kind = STORE_SECRET,
                            .name = "Name",
                            .version = "0123456789abcdef0123456789abcdef",
                            .created = -5,
                            .deleted_at = 6,
                            .purge_at = INT64_MAX,
                            .wake_at = 8},
                     back;
    struct kw_span plain;
    assert_int_equal(archive_record_head(&head, &row), KW_OK);
    memcpy(head.data + head.len, "plain", 5);
    assert_int_equal(archive_record_read(kw_span_of(head.data, head.len + 5), &back, &plain),
                     KW_OK);
    assert_string_equal(back.name, row.name);
    assert_string_equal(back.version, row.version);
    assert_true(back.kind == STORE_SECRET && back.created == -5 && back.deleted_at == 6 &&
                back.purge_at == INT64_MAX && back.wake_at == 8);
    assert_true(kw_span_equal(plain, kw_span_str("plain")));
    for (size_t len = 0; len < head.len; len++)
        assert_int_equal(archive_record_read(kw_span_of(head.data, len), &back, &plain),
                         KW_E_INTEGRITY);
    room[0] = 0; /* no kind */
    assert_int_equal(archive_record_read(kw_buf_span(&head), &back, &plain), KW_E_INTEGRITY);
    room[0] = STORE_SECRET;
    room[3] = 0; /* a NUL in the name */
    assert_int_equal(archive_record_read(kw_buf_span(&head), &back, &plain), KW_E_INTEGRITY);
    row.version[3] = '\0';
    head.len = 0;
    assert_int_equal(archive_record_head(&head, &row), KW_E_INTEGRITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),     cmocka_unit_test(test_largest_entry),
        cmocka_unit_test(test_changed_and_cut), cmocka_unit_test(test_chunks_are_bound),
        cmocka_unit_test(test_other_domain),    cmocka_unit_test(test_records),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
