/* The anchor: the same operations by OpenSSL's EVP alone, no network, no gateway, reused contexts.
 * Usage: bench_anchor OP SECONDS THREADS    OP: rs256-sign es256-sign a256kw-wrap rs256-verify
 * Prints operations per second over all threads and CPU microseconds per operation. */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"

struct work {
    const char *op;
    EVP_PKEY *key;
    int64_t until_ns;
    uint64_t done;
    int failed;
};

static uint8_t digest[32] = {1, 2, 3};
static uint8_t signature[512];
static size_t signature_len;

static EVP_PKEY_CTX *context(struct work *work, int verify)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(work->key, NULL);
    int ok = ctx && (verify ? EVP_PKEY_verify_init(ctx) : EVP_PKEY_sign_init(ctx)) == 1;
    if (ok && EVP_PKEY_get_base_id(work->key) == EVP_PKEY_RSA)
        ok = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    ok = ok && EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1;
    if (!ok) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static void run_asymmetric(struct work *work, int verify)
{
    EVP_PKEY_CTX *ctx = context(work, verify);
    work->failed = !ctx;
    while (!work->failed && kw_now_ns() < work->until_ns) {
        for (int i = 0; i < 8 && !work->failed; i++, work->done++) {
            uint8_t out[512];
            size_t len = sizeof out;
            work->failed =
                verify ? EVP_PKEY_verify(ctx, signature, signature_len, digest, sizeof digest) != 1
                       : EVP_PKEY_sign(ctx, out, &len, digest, sizeof digest) != 1;
        }
    }
    EVP_PKEY_CTX_free(ctx);
}

static void run_wrap(struct work *work)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-WRAP", NULL);
    uint8_t key[32] = {7}, out[48];
    work->failed = !ctx || !cipher;
    if (!work->failed) {
        EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
        work->failed = EVP_EncryptInit_ex2(ctx, cipher, key, NULL, NULL) != 1;
    }
    while (!work->failed && kw_now_ns() < work->until_ns) {
        for (int i = 0; i < 64 && !work->failed; i++, work->done++) {
            int len = 0;
            work->failed = EVP_EncryptInit_ex2(ctx, NULL, NULL, NULL, NULL) != 1 ||
                           EVP_EncryptUpdate(ctx, out, &len, digest, sizeof digest) != 1;
        }
    }
    EVP_CIPHER_free(cipher);
    EVP_CIPHER_CTX_free(ctx);
}

static void *worker(void *arg)
{
    struct work *work = arg;
    if (strcmp(work->op, "a256kw-wrap") == 0)
        run_wrap(work);
    else
        run_asymmetric(work, strcmp(work->op, "rs256-verify") == 0);
    return NULL;
}

static int make_key(struct work *work)
{
    if (strcmp(work->op, "es256-sign") == 0)
        work->key = EVP_EC_gen("P-256");
    else if (strncmp(work->op, "rs256", 5) == 0)
        work->key = EVP_RSA_gen(2048);
    else
        return strcmp(work->op, "a256kw-wrap") == 0;
    if (!work->key || strcmp(work->op, "rs256-verify") != 0)
        return work->key != NULL;
    EVP_PKEY_CTX *ctx = context(work, 0);
    signature_len = sizeof signature;
    int ok = ctx && EVP_PKEY_sign(ctx, signature, &signature_len, digest, sizeof digest) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static double cpu_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    double seconds = argc == 4 ? atof(argv[2]) : 0;
    int threads = argc == 4 ? atoi(argv[3]) : 0;
    struct work first = {.op = argc == 4 ? argv[1] : ""};
    if (seconds <= 0 || threads < 1 || threads > 64 || !make_key(&first)) {
        fprintf(stderr, "usage: bench_anchor rs256-sign|es256-sign|a256kw-wrap|rs256-verify "
                        "SECONDS THREADS\n");
        return 2;
    }
    struct work work[64];
    pthread_t ids[64];
    int64_t start = kw_now_ns();
    double cpu_start = cpu_seconds();
    first.until_ns = start + (int64_t)(seconds * 1e9);
    for (int i = 0; i < threads; i++) {
        work[i] = first;
        if (pthread_create(&ids[i], NULL, worker, &work[i]) != 0)
            return 1;
    }
    uint64_t done = 0;
    int failed = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        done += work[i].done;
        failed |= work[i].failed;
    }
    double wall = (double)(kw_now_ns() - start) / 1e9;
    double cpu = cpu_seconds() - cpu_start;
    printf("%.1f %.3f\n", (double)done / wall, done ? cpu * 1e6 / (double)done : 0);
    EVP_PKEY_free(first.key);
    return failed || done == 0;
}
