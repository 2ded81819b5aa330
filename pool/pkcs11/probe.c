/* The probe: a fresh random block, encrypted by the host under a key that the gateway knows and
 * that reaches the host as a blob like any other. The right answer shows the process, its session
 * threads, the token, the login and the wrapping key at once. The key is the public one of FIPS 197
 * appendix C.3. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/domain/domain.h"
#include "pool/pkcs11/control.h"
#include "pool/pkcs11/member.h"

#define IN_ROOM 1024

static const uint8_t key_bytes[32] = {
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,
    0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f};
static const uint8_t key_id[KW_KEY_ID_LEN] = "keyward-probe-1";

kw_status pool_p11_probe_create(struct pool_p11 *p11)
{
    struct kc_key *key = NULL;
    uint8_t room[256];
    struct kw_buf blob = {room, 0, sizeof(room)};
    KW_TRY(kc_key_from_private(&key, KW_KTY_OCT, KW_CURVE_NONE,
                               kw_span_of(key_bytes, sizeof(key_bytes))));
    kw_status status = kc_blob_wrap(pool_domain(p11->member->pool), key_id, key, true, &blob);
    kc_key_unref(key);
    KW_TRY(status);
    return kw_secret_copy(&p11->probe_blob, kw_buf_span(&blob));
}

void pool_p11_probe_destroy(struct pool_p11 *p11)
{
    kw_secret_clear(&p11->probe_blob);
}

kw_status pool_p11_probe_open(struct pool_p11_host *host)
{
    int ends[2];
    uint8_t room[16];
    struct kw_buf record = {room, 0, sizeof(room)};
    KW_TRY(pool_wire_put_plain(&record, POOL_WIRE_CHANNEL));
    host->probe_in = malloc(IN_ROOM);
    if (host->probe_in == NULL) {
        return KW_E_NOMEM;
    }
    host->probe_in_len = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return KW_E_IO;
    }
    kw_status status = pool_control_send(host->control, kw_buf_span(&record), ends[1]);
    close(ends[1]);
    if (status != KW_OK) {
        close(ends[0]);
        return status;
    }
    host->probe_fd = ends[0];
    return KW_OK;
}

void pool_p11_probe_close(struct pool_p11_host *host)
{
    if (host->probe_fd >= 0) {
        close(host->probe_fd);
    }
    free(host->probe_in);
    host->probe_fd = -1;
    host->probe_in = NULL;
    host->probe_out = host->probe_late = false;
}

static kw_status encrypt_here(const uint8_t plain[KW_AES_BLOCK_LEN], uint8_t out[KW_AES_BLOCK_LEN])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0;
    bool ok =
        ctx != NULL && EVP_EncryptInit_ex(ctx, EVP_aes_256_ecb(), NULL, key_bytes, NULL) == 1 &&
        EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
        EVP_EncryptUpdate(ctx, out, &len, plain, KW_AES_BLOCK_LEN) == 1 && len == KW_AES_BLOCK_LEN;
    EVP_CIPHER_CTX_free(ctx);
    return ok ? KW_OK : KW_E_INTERNAL;
}

kw_status pool_p11_probe_send(struct pool_p11 *p11, struct pool_p11_host *host, int64_t now_ns)
{
    static const uint8_t zero_iv[KW_AES_BLOCK_LEN];
    uint8_t room[1024];
    struct kw_buf out = {room, 0, sizeof(room)};
    KW_TRY(kw_random(host->probe_plain, sizeof(host->probe_plain)));
    KW_TRY(encrypt_here(host->probe_plain, host->probe_expected));
    struct pool_wire_request req = {
        .id = ++host->probe_id,
        .kind = KW_KIND_ENCRYPT,
        .alg = KW_ALG_A256CBC,
        .kty = KW_KTY_OCT,
        .bits = 256,
        .out_cap = KW_AES_BLOCK_LEN,
        .blob = kw_span_of(p11->probe_blob.data, p11->probe_blob.len),
        .in = kw_span_of(host->probe_plain, sizeof(host->probe_plain)),
        .iv = kw_span_of(zero_iv, sizeof(zero_iv)),
    };
    memcpy(req.key_id, key_id, sizeof(req.key_id));
    KW_TRY(pool_wire_put_request(&out, &req));
    if (send(host->probe_fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)out.len) {
        return KW_E_IO;
    }
    host->probe_out = true;
    host->probe_late = false;
    host->probe_sent_ns = now_ns;
    return KW_OK;
}

static kw_status judge(struct pool_p11_host *host, struct kw_span body)
{
    struct pool_wire_answer answer;
    if (pool_wire_get_answer(body, &answer) != KW_OK || answer.id != host->probe_id) {
        return KW_E_IO;
    }
    host->probe_out = false;
    if (answer.verdict != POOL_WIRE_DONE || answer.status != KW_OK) {
        return KW_E_UNAVAILABLE;
    }
    return kw_span_equal(answer.out, kw_span_of(host->probe_expected, sizeof(host->probe_expected)))
               ? KW_OK
               : KW_E_INTEGRITY;
}

kw_status pool_p11_probe_receive(struct pool_p11_host *host)
{
    ssize_t n = recv(host->probe_fd, host->probe_in + host->probe_in_len,
                     IN_ROOM - host->probe_in_len, MSG_DONTWAIT);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? KW_E_NOT_FOUND : KW_E_IO;
    }
    if (n == 0) {
        return KW_E_IO;
    }
    host->probe_in_len += (size_t)n;
    struct kw_span rest = kw_span_of(host->probe_in, host->probe_in_len), body;
    kw_status status = pool_wire_next(&rest, &body);
    if (status != KW_OK) {
        return status == KW_E_NOT_FOUND ? KW_E_NOT_FOUND : KW_E_IO;
    }
    status = host->probe_out ? judge(host, body) : KW_E_IO;
    memmove(host->probe_in, rest.data, rest.len);
    host->probe_in_len = rest.len;
    return status;
}
