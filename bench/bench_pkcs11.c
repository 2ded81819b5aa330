/* The anchor of members: the same operations by direct PKCS#11 calls from several threads of one
 * process, each with its own session, keys as session objects (the fastest way a token offers).
 * Usage: bench_pkcs11 MODULE TOKEN-LABEL PIN OP SECONDS THREADS
 * Prints operations per second over all threads, microseconds of processor time an operation,
 * and the median of an operation's microseconds in the first thread. */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/base/clock.h"

#define TIMES_MAX (1u << 20)

static CK_FUNCTION_LIST *p11;
static pthread_barrier_t ready;

struct work {
    CK_SLOT_ID slot;
    const char *op;
    int64_t until_ns;
    uint64_t done;
    int64_t cpu_ns;
    uint32_t *took; /* ns of each operation, the first TIMES_MAX */
    int failed;
};

static int find_slot(const char *label, CK_SLOT_ID *out)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    if (p11->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK)
        return 0;
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        if (p11->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            strncmp((const char *)info.label, label, strlen(label)) == 0) {
            *out = slots[i];
            return 1;
        }
    }
    return 0;
}

static CK_OBJECT_HANDLE make_pair(CK_SESSION_HANDLE session, int ec)
{
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG bits = 2048;
    CK_BYTE e[] = {1, 0, 1};
    CK_BYTE p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
    CK_ATTRIBUTE rsa_pub[] = {{CKA_TOKEN, &no, 1},
                              {CKA_VERIFY, &yes, 1},
                              {CKA_MODULUS_BITS, &bits, sizeof bits},
                              {CKA_PUBLIC_EXPONENT, e, sizeof e}};
    CK_ATTRIBUTE ec_pub[] = {
        {CKA_TOKEN, &no, 1}, {CKA_VERIFY, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof p256}};
    CK_ATTRIBUTE priv[] = {{CKA_TOKEN, &no, 1}, {CKA_SIGN, &yes, 1}, {CKA_SENSITIVE, &yes, 1}};
    CK_MECHANISM mechanism = {ec ? CKM_EC_KEY_PAIR_GEN : CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_OBJECT_HANDLE pub = 0, key = 0;
    CK_RV rv = ec ? p11->C_GenerateKeyPair(session, &mechanism, ec_pub, 3, priv, 3, &pub, &key)
                  : p11->C_GenerateKeyPair(session, &mechanism, rsa_pub, 4, priv, 3, &pub, &key);
    return rv == CKR_OK ? key : 0;
}

static CK_OBJECT_HANDLE make_aes(CK_SESSION_HANDLE session, CK_BBOOL extractable)
{
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG len = 32;
    CK_ATTRIBUTE attributes[] = {{CKA_TOKEN, &no, 1},
                                 {CKA_WRAP, &yes, 1},
                                 {CKA_UNWRAP, &yes, 1},
                                 {CKA_EXTRACTABLE, &extractable, 1},
                                 {CKA_VALUE_LEN, &len, sizeof len}};
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_OBJECT_HANDLE key = 0;
    return p11->C_GenerateKey(session, &mechanism, attributes, 5, &key) == CKR_OK ? key : 0;
}

/* One wrap of data the way a token without C_Encrypt(CKM_AES_KEY_WRAP) needs it: the data becomes a
 * session object, is wrapped, and is destroyed. */
static CK_RV wrap_once(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE kek)
{
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_BYTE data[32] = {9}, out[48];
    CK_ATTRIBUTE attributes[] = {{CKA_CLASS, &class, sizeof class},
                                 {CKA_KEY_TYPE, &type, sizeof type},
                                 {CKA_TOKEN, &no, 1},
                                 {CKA_SENSITIVE, &no, 1},
                                 {CKA_EXTRACTABLE, &yes, 1},
                                 {CKA_VALUE, data, sizeof data}};
    CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP, NULL, 0};
    CK_OBJECT_HANDLE object = 0;
    CK_ULONG len = sizeof out;
    CK_RV rv = p11->C_CreateObject(session, attributes, 6, &object);
    if (rv != CKR_OK)
        return rv;
    rv = p11->C_WrapKey(session, &mechanism, kek, object, out, &len);
    p11->C_DestroyObject(session, object);
    return rv;
}

static CK_RV sign_once(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, int ec)
{
    static const CK_BYTE prefix[19] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                       0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    CK_BYTE in[51] = {0}, out[512];
    CK_ULONG len = sizeof out;
    memcpy(in, prefix, sizeof prefix);
    CK_MECHANISM mechanism = {ec ? CKM_ECDSA : CKM_RSA_PKCS, NULL, 0};
    CK_RV rv = p11->C_SignInit(session, &mechanism, key);
    return rv == CKR_OK ? p11->C_Sign(session, ec ? in + 19 : in, ec ? 32 : 51, out, &len) : rv;
}

static int64_t thread_cpu_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return at.tv_sec * KW_S(1) + at.tv_nsec;
}

static void *worker(void *arg)
{
    struct work *work = arg;
    CK_SESSION_HANDLE session;
    if (p11->C_OpenSession(work->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session)) {
        fprintf(stderr, "bench_pkcs11: no session\n");
        _Exit(1);
    }
    int ec = strcmp(work->op, "es256-sign") == 0, wrap = strcmp(work->op, "a256kw-wrap") == 0;
    CK_OBJECT_HANDLE key = wrap ? make_aes(session, CK_FALSE) : make_pair(session, ec);
    CK_RV rv = key ? CKR_OK : CKR_GENERAL_ERROR;
    int64_t span = work->until_ns;
    /* Key generation is not part of the measured time, and nobody measures while others generate:
     * else each has the processors for itself for a while, and the sum is more than there are. */
    (void)pthread_barrier_wait(&ready);
    work->until_ns = kw_now_ns() + span;
    int64_t cpu = thread_cpu_ns();
    for (int64_t now = kw_now_ns(), next; rv == CKR_OK && now < work->until_ns; now = next) {
        rv = wrap ? wrap_once(session, key) : sign_once(session, key, ec);
        next = kw_now_ns();
        if (work->done < TIMES_MAX)
            work->took[work->done] = (uint32_t)(next - now);
        work->done += rv == CKR_OK;
    }
    work->cpu_ns = thread_cpu_ns() - cpu;
    work->failed = rv != CKR_OK;
    if (rv != CKR_OK)
        fprintf(stderr, "bench_pkcs11: return code 0x%lx\n", (unsigned long)rv);
    return NULL;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double median_us(const struct work *work)
{
    size_t n = work->done < TIMES_MAX ? work->done : TIMES_MAX;
    qsort(work->took, n, sizeof *work->took, ascending);
    return n > 0 ? work->took[n / 2] / 1e3 : 0;
}

static int load(const char *path)
{
    void *module = dlopen(path, RTLD_NOW);
    CK_C_GetFunctionList get =
        module ? (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList") : NULL;
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    return get && get(&p11) == CKR_OK && p11->C_Initialize(&args) == CKR_OK;
}

int main(int argc, char **argv)
{
    struct work work[64];
    pthread_t ids[64];
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE anchor;
    int threads = argc == 7 ? atoi(argv[6]) : 0;
    double seconds = argc == 7 ? atof(argv[5]) : 0;
    if (threads < 1 || threads > 64 || seconds <= 0) {
        fprintf(stderr, "usage: bench_pkcs11 MODULE TOKEN-LABEL PIN OP SECONDS THREADS\n");
        return 2;
    }
    if (!load(argv[1]) || !find_slot(argv[2], &slot) ||
        p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &anchor) !=
            CKR_OK ||
        p11->C_Login(anchor, CKU_USER, (CK_UTF8CHAR *)argv[3], strlen(argv[3])) != CKR_OK) {
        fprintf(stderr, "bench_pkcs11: cannot open the token: check module, label and PIN\n");
        return 1;
    }
    pthread_barrier_init(&ready, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        work[i] = (struct work){.slot = slot,
                                .op = argv[4],
                                .until_ns = (int64_t)(seconds * 1e9),
                                .took = malloc(TIMES_MAX * sizeof(uint32_t))};
        if (work[i].took == NULL)
            return 1;
        if (pthread_create(&ids[i], NULL, worker, &work[i]) != 0)
            return 1;
    }
    uint64_t done = 0;
    int64_t cpu_ns = 0;
    int failed = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        done += work[i].done;
        cpu_ns += work[i].cpu_ns;
        failed |= work[i].failed;
    }
    printf("%.1f %.2f %.1f\n", (double)done / seconds,
           (double)cpu_ns / 1e3 / (double)(done > 0 ? done : 1), median_us(&work[0]));
    fflush(stdout);
    /* not exit(): SoftHSM's and OpenSSL's exit handlers run in the wrong order */
    _Exit(failed || done == 0);
}
