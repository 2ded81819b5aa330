#pragma once
/* The container of exports and backups: a stream of entries in sealed chunks, written and read in
 * bounded memory.
 *
 *    0   4  "KWAR"
 *    4   1  format, 1
 *    5   1  enum archive_what
 *    6   2  zero
 *    8   8  check value of the security domain, so that a file of another one is told from a
 * damaged 16  16  id of the archive, random: the identity of the snapshot 32   8  when it was
 * begun, wall seconds 40  24  zero 64      chunks: 4 bytes (the highest bit: the last one; the
 * others: length), then kc_seal of entries. The additional data is a label, the 64 bytes of the
 * header, the number of the chunk and whether it is the last: chunks that are missing, moved,
 * repeated or of another archive do not open, and one that was cut is seen.
 *
 * An entry is 1 byte type, 4 bytes length, and that many bytes. The last chunk holds the manifest
 * alone: how many entries of each type, how many bytes, and the SHA-256 of all bytes of the file
 * before that chunk. Numbers are big-endian. Other types can be added; a reader gives out what it
 * finds, and its caller refuses what it does not know. */

#include "crypto/domain/domain.h"

enum archive_what { ARCHIVE_VAULT = 1, ARCHIVE_FULL = 2 };

enum archive_entry {
    ARCHIVE_ORIGIN = 1, /* name of the vault that an export was made of */
    ARCHIVE_RECORD = 2, /* one version of one object: record.h */
    ARCHIVE_SETTING = 3,
    ARCHIVE_ROLE = 4,
    ARCHIVE_TYPES = 16 /* types are below */
};

#define ARCHIVE_HEADER    64
#define ARCHIVE_ID_LEN    16
#define ARCHIVE_ENTRY_MAX ((4u << 20) + 4096) /* bytes of one entry */
#define ARCHIVE_CHUNK     (128u << 10)        /* plain bytes after which a chunk is closed */

struct archive_head {
    enum archive_what what;
    uint8_t id[ARCHIVE_ID_LEN];
    int64_t created;
    uint8_t check[KC_DOMAIN_CHECK_LEN];
};

/** What the manifest says. */
struct archive_manifest {
    uint64_t entries[ARCHIVE_TYPES]; /* by type */
    uint64_t bytes;                  /* of all entries, without their 5 bytes of head */
    uint8_t digest[32];
};

/** Takes, or gives, the next bytes of the file. `give` sets `*got` to 0 at its end. */
typedef kw_status archive_take_fn(void *ctx, struct kw_span bytes);
typedef kw_status archive_give_fn(void *ctx, uint8_t *out, size_t len, size_t *got);

struct archive_writer;
struct archive_reader;

/** Begins an archive: a new id, `created` as given. The domain is borrowed. */
KW_MUST_CHECK kw_status archive_writer_create(struct archive_writer **out,
                                              const struct kc_domain *domain,
                                              enum archive_what what, int64_t created,
                                              archive_take_fn *take, void *ctx);
const struct archive_head *archive_writer_head(const struct archive_writer *writer);
/** Adds an entry made of two parts. KW_E_INPUT for a type that cannot be; KW_E_TOO_LARGE over
 *  ARCHIVE_ENTRY_MAX; what `take` returned. A writer that failed once is of no more use. */
KW_MUST_CHECK kw_status archive_put(struct archive_writer *writer, enum archive_entry type,
                                    struct kw_span first, struct kw_span second);
/** Writes the manifest: the archive is whole. */
KW_MUST_CHECK kw_status archive_finish(struct archive_writer *writer,
                                       struct archive_manifest *manifest);
/** Wipes and frees. NULL is allowed. */
void archive_writer_destroy(struct archive_writer *writer);

/** Reads the header. KW_E_INPUT: not an archive, or cut; KW_E_UNSUPPORTED: a newer format;
 *  KW_E_FORBIDDEN: of another security domain. `head` is filled as far as it was read. */
KW_MUST_CHECK kw_status archive_reader_create(struct archive_reader **out,
                                              struct archive_head *head,
                                              const struct kc_domain *domain, archive_give_fn *give,
                                              void *ctx);
/** The next entry, borrowed until the next call. KW_E_NOT_FOUND behind the last one, once the
 *  manifest was read and agrees; KW_E_INTEGRITY: changed, cut, or something follows the end. */
KW_MUST_CHECK kw_status archive_next(struct archive_reader *reader, enum archive_entry *type,
                                     struct kw_span *entry);
/** After KW_E_NOT_FOUND. */
const struct archive_manifest *archive_reader_manifest(const struct archive_reader *reader);
void archive_reader_destroy(struct archive_reader *reader);
