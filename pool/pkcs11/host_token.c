#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "pool/pkcs11/ckr.h"
#include "pool/pkcs11/host.h"

static CK_RV initialize(struct pool_host *host)
{
    /* never NULL: without the flag some modules use no locks at all */
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    CK_RV rv = host->p11->C_Initialize(&args);
    return rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ? CKR_OK : rv;
}

/** Token fields are blank-padded; some modules end them with a zero byte. */
static bool field_is(const unsigned char *field, size_t len, struct kw_span wanted)
{
    size_t used = strnlen((const char *)field, len);
    while (used > 0 && field[used - 1] == ' ') {
        used--;
    }
    return wanted.len == 0 || kw_span_equal(kw_span_of(field, used), wanted);
}

/** Adds `"label" serial` of a token to a list for people. */
static void name_token(struct kw_buf *list, const CK_TOKEN_INFO *info)
{
    char text[96];
    int label = (int)sizeof(info->label), serial = (int)sizeof(info->serialNumber);
    while (label > 0 && (info->label[label - 1] == ' ' || info->label[label - 1] == '\0')) {
        label--;
    }
    while (serial > 0 &&
           (info->serialNumber[serial - 1] == ' ' || info->serialNumber[serial - 1] == '\0')) {
        serial--;
    }
    int n = snprintf(text, sizeof(text), "%s\"%.*s\" serial %.*s", list->len > 0 ? ", " : "", label,
                     (const char *)info->label, serial, (const char *)info->serialNumber);
    if (n > 0 && (size_t)n < sizeof(text) && list->cap - list->len > (size_t)n) {
        memcpy(list->data + list->len, text, (size_t)n);
        list->len += (size_t)n;
    }
}

static void explain(char *reason, size_t len, unsigned found, const struct kw_buf *matching,
                    const struct kw_buf *others)
{
    if (found > 1) {
        snprintf(reason, len, "more than one token matches: give its serial; there are %.*s",
                 (int)matching->len, (const char *)matching->data);
    } else {
        snprintf(reason, len, "no token with this label and serial; there %s %.*s",
                 others->len > 0 ? "are" : "is", others->len > 0 ? (int)others->len : 4,
                 others->len > 0 ? (const char *)others->data : "none");
    }
}

static CK_RV find_token(struct pool_host *host, struct kw_span label, struct kw_span serial,
                        char *reason, size_t reason_len)
{
    CK_SLOT_ID slots[256];
    CK_ULONG count = sizeof(slots) / sizeof(slots[0]);
    CK_RV rv = host->p11->C_GetSlotList(CK_TRUE, slots, &count);
    if (rv != CKR_OK) {
        snprintf(reason, reason_len, "the list of slots cannot be read");
        return rv;
    }
    uint8_t matching_room[300], others_room[300];
    struct kw_buf matching = {matching_room, 0, sizeof(matching_room)};
    struct kw_buf others = {others_room, 0, sizeof(others_room)};
    unsigned found = 0;
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        memset(&info, 0, sizeof(info));
        if (host->p11->C_GetTokenInfo(slots[i], &info) != CKR_OK ||
            (info.flags & CKF_TOKEN_INITIALIZED) == 0) {
            continue;
        }
        if (!field_is(info.label, sizeof(info.label), label) ||
            !field_is(info.serialNumber, sizeof(info.serialNumber), serial)) {
            name_token(&others, &info);
            continue;
        }
        name_token(&matching, &info);
        found++;
        host->slot = slots[i];
        host->token = info;
    }
    if (found == 1) {
        return CKR_OK;
    }
    explain(reason, reason_len, found, &matching, &others);
    return found == 0 ? CKR_TOKEN_NOT_PRESENT : CKR_TOKEN_NOT_RECOGNIZED;
}

static CK_RV load(struct pool_host *host, struct kw_span module, char *reason, size_t reason_len)
{
    char path[POOL_WIRE_TEXT_MAX + 1];
    memcpy(path, module.data, module.len);
    path[module.len] = '\0';
    host->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (host->library == NULL) {
        snprintf(reason, reason_len, "module cannot be loaded: %s", dlerror());
        return CKR_GENERAL_ERROR;
    }
    CK_C_GetFunctionList get = NULL;
    void *symbol = dlsym(host->library, "C_GetFunctionList");
    memcpy(&get, &symbol, sizeof(get));
    if (get == NULL || get(&host->p11) != CKR_OK || host->p11 == NULL) {
        snprintf(reason, reason_len, "not a PKCS#11 module");
        return CKR_GENERAL_ERROR;
    }
    return CKR_OK;
}

CK_RV pool_host_open_token(struct pool_host *host, const struct pool_wire_config *config,
                           char *reason, size_t reason_len)
{
    host->stage = POOL_WIRE_STAGE_MODULE;
    CK_RV rv = load(host, config->module, reason, reason_len);
    if (rv != CKR_OK) {
        return rv;
    }
    host->stage = POOL_WIRE_STAGE_INITIALIZE;
    rv = initialize(host);
    if (rv != CKR_OK) {
        snprintf(reason, reason_len, "C_Initialize: CKR_%s (0x%lx)", pool_ckr(rv)->name, rv);
        return rv;
    }
    host->stage = POOL_WIRE_STAGE_TOKEN;
    return find_token(host, config->token_label, config->token_serial, reason, reason_len);
}

CK_RV pool_host_open_session(struct pool_host *host, CK_SESSION_HANDLE *session)
{
    /* read-write always: some modules refuse read-only sessions */
    return host->p11->C_OpenSession(host->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                    session);
}

CK_RV pool_host_flags(struct pool_host *host, CK_FLAGS *flags)
{
    CK_TOKEN_INFO info;
    memset(&info, 0, sizeof(info));
    CK_RV rv = host->p11->C_GetTokenInfo(host->slot, &info);
    *flags = rv == CKR_OK ? info.flags : 0;
    return rv;
}

static CK_RV login_once(struct pool_host *host, struct kw_span pin)
{
    CK_RV rv = pool_host_open_session(host, &host->anchor);
    if (rv != CKR_OK) {
        return rv;
    }
    rv = host->p11->C_Login(host->anchor, CKU_USER, (CK_UTF8CHAR_PTR)pin.data, pin.len);
    return rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv;
}

CK_RV pool_host_login(struct pool_host *host, struct kw_span pin)
{
    CK_RV rv = login_once(host, pin);
    if (rv != CKR_GENERAL_ERROR && rv != CKR_USER_PIN_NOT_INITIALIZED &&
        rv != CKR_TOKEN_NOT_RECOGNIZED) {
        return rv;
    }
    CK_FLAGS flags;
    bool seen = pool_host_flags(host, &flags) == CKR_OK;
    if (!seen && rv == CKR_GENERAL_ERROR) {
        return rv; /* nobody knows whether the token counted it */
    }
    if (seen && (flags & ~host->token.flags &
                 (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED)) != 0) {
        return rv; /* the token counted it: not to be repeated */
    }
    unsigned char label[sizeof(host->token.label)], serial[sizeof(host->token.serialNumber)];
    memcpy(label, host->token.label, sizeof(label));
    memcpy(serial, host->token.serialNumber, sizeof(serial));
    host->p11->C_Finalize(NULL);
    CK_RV again = initialize(host);
    if (again != CKR_OK) {
        return again;
    }
    struct kw_span label_span = kw_span_of(label, sizeof(label));
    struct kw_span serial_span = kw_span_of(serial, sizeof(serial));
    while (label_span.len > 0 && label[label_span.len - 1] == ' ') {
        label_span.len--;
    }
    while (serial_span.len > 0 && serial[serial_span.len - 1] == ' ') {
        serial_span.len--;
    }
    char why[512];
    again = find_token(host, label_span, serial_span, why, sizeof(why));
    return again != CKR_OK ? again : login_once(host, pin);
}

static CK_RV make_secret(struct pool_host *host, struct kw_span value, CK_ATTRIBUTE_TYPE use1,
                         CK_ATTRIBUTE_TYPE use2, CK_OBJECT_HANDLE *out)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE attributes[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_KEY_TYPE, &type, sizeof(type)},
        {CKA_TOKEN, &no, sizeof(no)},
        {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_SENSITIVE, &yes, sizeof(yes)},
        {CKA_EXTRACTABLE, &no, sizeof(no)},
        {use1, &yes, sizeof(yes)},
        {use2, &yes, sizeof(yes)},
        {CKA_VALUE, (void *)value.data, value.len},
    };
    return host->p11->C_CreateObject(host->anchor, attributes,
                                     sizeof(attributes) / sizeof(attributes[0]), out);
}

static CK_RV canary_block(struct pool_host *host, CK_SESSION_HANDLE session,
                          uint8_t out[KW_AES_BLOCK_LEN])
{
    uint8_t zero[KW_AES_BLOCK_LEN] = {0};
    uint8_t room[2 * KW_AES_BLOCK_LEN];
    CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
    CK_ULONG len = sizeof(room);
    CK_RV rv = host->p11->C_EncryptInit(session, &ecb, host->canary_key);
    if (rv == CKR_OK) {
        rv = host->p11->C_Encrypt(session, zero, sizeof(zero), room, &len);
    }
    if (rv == CKR_OK && len != KW_AES_BLOCK_LEN) {
        rv = CKR_FUNCTION_FAILED;
    }
    if (rv == CKR_OK) {
        memcpy(out, room, KW_AES_BLOCK_LEN);
    }
    return rv;
}

CK_RV pool_host_canary(struct pool_host *host, CK_SESSION_HANDLE session)
{
    uint8_t now[KW_AES_BLOCK_LEN];
    CK_RV rv = canary_block(host, session, now);
    return rv == CKR_OK && memcmp(now, host->canary, sizeof(now)) != 0 ? CKR_FUNCTION_FAILED : rv;
}

bool pool_host_anchored(struct pool_host *host)
{
    CK_SESSION_INFO info;
    pthread_mutex_lock(&host->objects);
    CK_RV rv = host->p11->C_GetSessionInfo(host->anchor, &info);
    pthread_mutex_unlock(&host->objects);
    return rv == CKR_OK && info.state == CKS_RW_USER_FUNCTIONS;
}

/** Known answers decide whether the token wraps plain bytes as the standards say: numbers and
 *  meaning of these mechanisms differ between modules. The key is public (RFC 3394 section 4.6,
 *  RFC 5649 section 6). */
static bool wraps_like(struct pool_host *host, CK_MECHANISM_TYPE type, struct kw_span kek,
                       struct kw_span plain, struct kw_span wrapped)
{
    CK_OBJECT_HANDLE key;
    if (make_secret(host, kek, CKA_ENCRYPT, CKA_DECRYPT, &key) != CKR_OK) {
        return false;
    }
    CK_MECHANISM mechanism = {type, NULL, 0};
    uint8_t room[64];
    CK_ULONG len = sizeof(room);
    bool same = host->p11->C_EncryptInit(host->anchor, &mechanism, key) == CKR_OK &&
                host->p11->C_Encrypt(host->anchor, (uint8_t *)plain.data, plain.len, room, &len) ==
                    CKR_OK &&
                kw_span_equal(kw_span_of(room, len), wrapped);
    len = sizeof(room);
    same = same && host->p11->C_DecryptInit(host->anchor, &mechanism, key) == CKR_OK &&
           host->p11->C_Decrypt(host->anchor, (uint8_t *)wrapped.data, wrapped.len, room, &len) ==
               CKR_OK &&
           kw_span_equal(kw_span_of(room, len), plain);
    host->p11->C_DestroyObject(host->anchor, key);
    return same;
}

static const uint8_t kw_kek[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
                                 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15,
                                 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f};
static const uint8_t kw_plain[] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                   0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
static const uint8_t kw_wrapped[] = {0x64, 0xe8, 0xc3, 0xf9, 0xce, 0x0f, 0x5b, 0xa2,
                                     0x63, 0xe9, 0x77, 0x79, 0x05, 0x81, 0x8a, 0x2a,
                                     0x93, 0xc8, 0x19, 0x1e, 0x7d, 0x6e, 0x8a, 0xe7};
static const uint8_t kwp_kek[] = {0x58, 0x40, 0xdf, 0x6e, 0x29, 0xb0, 0x2a, 0xf1,
                                  0xab, 0x49, 0x3b, 0x70, 0x5b, 0xf1, 0x6e, 0xa1,
                                  0xae, 0x83, 0x38, 0xf4, 0xdc, 0xc1, 0x76, 0xa8};
static const uint8_t kwp_plain[] = {0x46, 0x6f, 0x72, 0x50, 0x61, 0x73, 0x69};
static const uint8_t kwp_wrapped[] = {0xaf, 0xbe, 0xb0, 0xf0, 0x7d, 0xfb, 0xf5, 0x41,
                                      0x92, 0x00, 0xf2, 0xcc, 0xb5, 0x0b, 0xb2, 0x4f};

static void find_abilities(struct pool_host *host)
{
    CK_MECHANISM_INFO info;
    memset(&info, 0, sizeof(info));
    host->rsa_raw = host->p11->C_GetMechanismInfo(host->slot, CKM_RSA_X_509, &info) == CKR_OK &&
                    (info.flags & CKF_DECRYPT) != 0;
    host->transport = CKM_AES_KEY_WRAP_PAD;
    if (host->p11->C_GetMechanismInfo(host->slot, CKM_AES_KEY_WRAP_PAD, &info) != CKR_OK) {
        host->transport = 0x210bUL; /* CKM_AES_KEY_WRAP_KWP of PKCS#11 3.0 */
    }
    host->wrap_raw = wraps_like(host, CKM_AES_KEY_WRAP, kw_span_of(kw_kek, sizeof(kw_kek)),
                                kw_span_of(kw_plain, sizeof(kw_plain)),
                                kw_span_of(kw_wrapped, sizeof(kw_wrapped)));
    host->wrap_raw_p = wraps_like(host, 0x210bUL, kw_span_of(kwp_kek, sizeof(kwp_kek)),
                                  kw_span_of(kwp_plain, sizeof(kwp_plain)),
                                  kw_span_of(kwp_wrapped, sizeof(kwp_wrapped)));
    if (host->may_coalesce) {
        pool_host_coalesce_measure(host);
    }
}

CK_RV pool_host_install(struct pool_host *host, struct kw_span wrapping_key)
{
    CK_RV rv = make_secret(host, wrapping_key, CKA_WRAP, CKA_UNWRAP, &host->wrapping_key);
    if (rv != CKR_OK) {
        return rv;
    }
    uint8_t value[32];
    if (kw_random(value, sizeof(value)) != KW_OK) {
        return CKR_FUNCTION_FAILED;
    }
    rv = make_secret(host, kw_span_of(value, sizeof(value)), CKA_ENCRYPT, CKA_DECRYPT,
                     &host->canary_key);
    kw_wipe(value, sizeof(value));
    if (rv != CKR_OK) {
        return rv;
    }
    rv = canary_block(host, host->anchor, host->canary);
    if (rv == CKR_OK) {
        find_abilities(host);
    }
    return rv;
}
