/* A PKCS#11 module that stands in front of another one and misbehaves as its plan says (plan.h).
 * What is not wrapped here is the real module's own function. */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "tests/faults/module/answers.h"

#define SESSIONS_MAX 4096
#define LOADED_MAX   65536

static CK_FUNCTION_LIST *real, mine;
static CK_SLOT_ID token_slot; /* the real number, of the last session */

/* --- what has been lost -------------------------------------------------------------------------
 * The real module's handles grow, so everything up to a mark can be declared dead. The real ones
 * are not closed: other threads may be inside. */

struct operation {
    CK_MECHANISM mechanism;
    uint8_t parameter[64];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static CK_ULONG highest, dead_sessions, dead_objects, dead_keys, spared_session;
static CK_SESSION_HANDLE first_session;
static CK_OBJECT_HANDLE loaded[LOADED_MAX]; /* keys that came by C_UnwrapKey */
static unsigned loaded_count;
static CK_SESSION_HANDLE operation_of[SESSIONS_MAX];
static struct operation operations[SESSIONS_MAX];

static void note_handle(CK_ULONG handle)
{
    pthread_mutex_lock(&lock);
    highest = handle > highest ? handle : highest;
    pthread_mutex_unlock(&lock);
}

static void lose(enum fault_lose what)
{
    pthread_mutex_lock(&lock);
    if (what == LOSE_SESSIONS || what == LOSE_WORKERS) {
        dead_sessions = highest;
        spared_session = what == LOSE_WORKERS ? first_session : 0;
    }
    if (what == LOSE_SESSIONS || what == LOSE_OBJECTS) {
        dead_objects = highest; /* session objects go with their sessions */
    }
    if (what == LOSE_KEYS) {
        dead_keys = highest;
    }
    pthread_mutex_unlock(&lock);
}

static bool session_is_dead(CK_SESSION_HANDLE session)
{
    pthread_mutex_lock(&lock);
    bool dead = session <= dead_sessions && session != spared_session && session != 0;
    pthread_mutex_unlock(&lock);
    return dead;
}

static bool object_is_dead(CK_OBJECT_HANDLE object)
{
    pthread_mutex_lock(&lock);
    bool dead = object <= dead_objects && object != 0;
    for (unsigned i = 0; !dead && object <= dead_keys && i < loaded_count; i++) {
        dead = loaded[i] == object;
    }
    pthread_mutex_unlock(&lock);
    return dead;
}

static void note_loaded(CK_OBJECT_HANDLE object)
{
    note_handle(object);
    pthread_mutex_lock(&lock);
    loaded[loaded_count % LOADED_MAX] = object;
    loaded_count += loaded_count < LOADED_MAX ? 1 : 0;
    pthread_mutex_unlock(&lock);
}

/* --- the operation of each session --- */

static struct operation *operation(CK_SESSION_HANDLE session)
{
    unsigned i = 0;
    while (i < SESSIONS_MAX - 1 && operation_of[i] != session && operation_of[i] != 0) {
        i++;
    }
    operation_of[i] = session;
    return &operations[i];
}

static void note_operation(CK_SESSION_HANDLE session, const CK_MECHANISM *mechanism)
{
    pthread_mutex_lock(&lock);
    struct operation *at = operation(session);
    at->mechanism = *mechanism;
    if (mechanism->ulParameterLen <= sizeof(at->parameter) && mechanism->pParameter != NULL) {
        memcpy(at->parameter, mechanism->pParameter, mechanism->ulParameterLen);
        at->mechanism.pParameter = at->parameter;
    }
    pthread_mutex_unlock(&lock);
}

static struct operation operation_now(CK_SESSION_HANDLE session)
{
    pthread_mutex_lock(&lock);
    struct operation copy = *operation(session);
    pthread_mutex_unlock(&lock);
    return copy;
}

/* --- one call --- */

static void sleep_ms(unsigned ms)
{
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0) {
    }
}

static void crash(enum fault_crash how)
{
    switch (how) {
    case CRASH_SEGV:
        signal(SIGSEGV, SIG_DFL);
        kill(getpid(), SIGSEGV);
        break;
    case CRASH_ABORT:
        signal(SIGABRT, SIG_DFL);
        abort();
    case CRASH_EXIT:
        _exit(3);
    case CRASH_KILL:
        kill(getpid(), SIGKILL);
        break;
    case CRASH_NONE:
        return;
    }
    for (;;) {
        pause();
    }
}

static void befall(const struct fault *fault)
{
    if (fault->lose != LOSE_NONE) {
        lose(fault->lose);
    }
    if (fault->delay_ms > 0) {
        sleep_ms(fault->delay_ms);
    }
    while (fault->hang) {
        pause();
    }
    crash(fault->crash);
}

/** True when the call is over with *rv, without the real one. */
static bool before(const char *function, CK_SESSION_HANDLE session, struct fault *fault, CK_RV *rv)
{
    struct fault_settings settings;
    CK_MECHANISM_TYPE mechanism = session != 0 ? operation_now(session).mechanism.mechanism : 0;
    fault_look_up(function, mechanism, fault);
    if (!fault->after) {
        befall(fault);
    }
    fault_settings_now(&settings);
    if (session != 0 && settings.removed) {
        *rv = CKR_DEVICE_REMOVED;
        return true;
    }
    if (session != 0 && session_is_dead(session)) {
        *rv = CKR_SESSION_HANDLE_INVALID;
        return true;
    }
    *rv = fault->rv;
    return fault->has_rv && !fault->after;
}

static CK_RV after(const struct fault *fault, CK_RV rv)
{
    if (fault->after) {
        befall(fault);
    }
    return fault->after && fault->has_rv ? fault->rv : rv;
}

#define FORWARD(function, session, params, args)                                                   \
    static CK_RV my_##function params                                                              \
    {                                                                                              \
        struct fault fault;                                                                        \
        CK_RV rv;                                                                                  \
        if (before(#function, session, &fault, &rv)) {                                             \
            return rv;                                                                             \
        }                                                                                          \
        return after(&fault, real->function args);                                                 \
    }

/* --- library, slots and token --- */

static CK_RV my_C_Initialize(void *arguments)
{
    struct fault fault;
    CK_RV rv;
    atomic_fetch_add(&fault_state()->initializes, 1);
    if (before("C_Initialize", 0, &fault, &rv)) {
        return rv;
    }
    return after(&fault, real->C_Initialize(arguments));
}

FORWARD(C_Finalize, 0, (void *reserved), (reserved))

/** The real number of a slot as the plan numbers them now. */
static bool real_slot(CK_SLOT_ID *slot, const struct fault_settings *settings)
{
    if (*slot < settings->renumber) {
        return false;
    }
    *slot -= settings->renumber;
    return true;
}

static CK_RV my_C_GetSlotList(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    struct fault fault;
    struct fault_settings settings;
    CK_RV rv;
    if (before("C_GetSlotList", 0, &fault, &rv)) {
        return rv;
    }
    fault_settings_now(&settings);
    if (settings.removed && present) {
        *count = 0;
        return CKR_OK;
    }
    rv = real->C_GetSlotList(present, slots, count);
    for (CK_ULONG i = 0; rv == CKR_OK && slots != NULL && i < *count; i++) {
        slots[i] += settings.renumber;
    }
    return after(&fault, rv);
}

static CK_RV my_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    struct fault fault;
    struct fault_settings settings;
    CK_RV rv;
    if (before("C_GetTokenInfo", 0, &fault, &rv)) {
        return rv;
    }
    fault_settings_now(&settings);
    if (!real_slot(&slot, &settings)) {
        return CKR_SLOT_ID_INVALID;
    }
    if (settings.removed) {
        return CKR_TOKEN_NOT_PRESENT;
    }
    rv = real->C_GetTokenInfo(slot, info);
    if (rv == CKR_OK && settings.lock_after > 0) {
        unsigned failures = atomic_load(&fault_state()->pin_failures);
        info->flags &=
            ~(CK_FLAGS)(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED);
        info->flags |= failures > 0 ? CKF_USER_PIN_COUNT_LOW : 0;
        info->flags |= failures + 1 == settings.lock_after ? CKF_USER_PIN_FINAL_TRY : 0;
        info->flags |= failures >= settings.lock_after ? CKF_USER_PIN_LOCKED : 0;
    }
    return after(&fault, rv);
}

static CK_RV my_C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    struct fault fault;
    struct fault_settings settings;
    CK_RV rv;
    if (before("C_GetMechanismInfo", 0, &fault, &rv)) {
        return rv;
    }
    fault_settings_now(&settings);
    if (!real_slot(&slot, &settings)) {
        return CKR_SLOT_ID_INVALID;
    }
    return after(&fault, real->C_GetMechanismInfo(slot, type, info));
}

/* --- sessions and login --- */

static CK_RV my_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                              CK_SESSION_HANDLE *session)
{
    struct fault fault;
    struct fault_settings settings;
    CK_RV rv;
    if (before("C_OpenSession", 0, &fault, &rv)) {
        return rv;
    }
    fault_settings_now(&settings);
    if (settings.removed) {
        return CKR_TOKEN_NOT_PRESENT;
    }
    if (!real_slot(&slot, &settings)) {
        return CKR_SLOT_ID_INVALID;
    }
    token_slot = slot;
    rv = real->C_OpenSession(slot, flags, application, notify, session);
    if (rv == CKR_OK) {
        note_handle(*session);
        pthread_mutex_lock(&lock);
        first_session = first_session == 0 ? *session : first_session;
        pthread_mutex_unlock(&lock);
    }
    return after(&fault, rv);
}

FORWARD(C_CloseSession, session, (CK_SESSION_HANDLE session), (session))
FORWARD(C_GetSessionInfo, session, (CK_SESSION_HANDLE session, CK_SESSION_INFO *info),
        (session, info))
FORWARD(C_Logout, session, (CK_SESSION_HANDLE session), (session))

/** Counts as a token does: a lock after so many wrong PINs in a row, which a restart does not undo.
 */
static CK_RV my_C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin,
                        CK_ULONG len)
{
    struct fault fault;
    struct fault_settings settings;
    struct fault_state *state = fault_state();
    CK_RV rv;
    atomic_fetch_add(&state->logins, 1);
    if (before("C_Login", session, &fault, &rv)) {
        return rv;
    }
    fault_settings_now(&settings);
    if (settings.lock_after > 0 && atomic_load(&state->pin_failures) >= settings.lock_after) {
        return CKR_PIN_LOCKED;
    }
    rv = real->C_Login(session, user, pin, len);
    if (rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_INVALID) {
        atomic_fetch_add(&state->pin_failures, 1);
        atomic_fetch_add(&state->refused, 1);
    } else if (rv == CKR_OK) {
        atomic_store(&state->pin_failures, 0);
    }
    return after(&fault, rv);
}

/* --- objects --- */

static CK_RV my_C_CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE *attributes, CK_ULONG count,
                               CK_OBJECT_HANDLE *object)
{
    struct fault fault;
    CK_RV rv;
    if (before("C_CreateObject", session, &fault, &rv)) {
        return rv;
    }
    rv = real->C_CreateObject(session, attributes, count, object);
    if (rv == CKR_OK) {
        note_handle(*object);
    }
    return after(&fault, rv);
}

FORWARD(C_DestroyObject, session, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object),
        (session, object))
FORWARD(C_GetAttributeValue, session,
        (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes,
         CK_ULONG count),
        (session, object, attributes, count))
FORWARD(C_GenerateKey, session,
        (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *attributes,
         CK_ULONG count, CK_OBJECT_HANDLE *key),
        (session, mechanism, attributes, count, key))
FORWARD(C_GenerateKeyPair, session,
        (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public_part,
         CK_ULONG public_count, CK_ATTRIBUTE *private_part, CK_ULONG private_count,
         CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key),
        (session, mechanism, public_part, public_count, private_part, private_count, public_key,
         private_key))

static CK_RV my_C_UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                            CK_OBJECT_HANDLE unwrapping_key, CK_BYTE *wrapped, CK_ULONG wrapped_len,
                            CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    struct fault fault;
    CK_RV rv;
    if (before("C_UnwrapKey", session, &fault, &rv)) {
        return rv;
    }
    if (object_is_dead(unwrapping_key)) {
        return CKR_UNWRAPPING_KEY_HANDLE_INVALID;
    }
    rv = real->C_UnwrapKey(session, mechanism, unwrapping_key, wrapped, wrapped_len, attributes,
                           count, key);
    if (rv == CKR_OK) {
        note_loaded(*key);
    }
    return after(&fault, rv);
}

/* --- searches --- */

static CK_RV my_C_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE *attributes,
                                  CK_ULONG count)
{
    struct fault fault;
    CK_RV rv;
    if (before("C_FindObjectsInit", session, &fault, &rv)) {
        return rv;
    }
    return after(&fault, real->C_FindObjectsInit(session, attributes, count));
}

/* A token's own objects are lost like those that were loaded; the real module gives them the same
 * handle again, so that nothing but a new process has them back. */
static CK_RV my_C_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG max,
                              CK_ULONG *count)
{
    struct fault fault;
    CK_RV rv;
    if (before("C_FindObjects", session, &fault, &rv)) {
        return rv;
    }
    rv = real->C_FindObjects(session, objects, max, count);
    for (CK_ULONG i = 0; rv == CKR_OK && i < *count; i++) {
        note_handle(objects[i]);
    }
    return after(&fault, rv);
}

/* --- operations --- */

#define INIT(function)                                                                             \
    static CK_RV my_##function(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,                 \
                               CK_OBJECT_HANDLE key)                                               \
    {                                                                                              \
        struct fault fault;                                                                        \
        CK_RV rv;                                                                                  \
        note_operation(session, mechanism);                                                        \
        if (before(#function, session, &fault, &rv)) {                                             \
            return rv;                                                                             \
        }                                                                                          \
        if (object_is_dead(key)) {                                                                 \
            return CKR_OBJECT_HANDLE_INVALID;                                                      \
        }                                                                                          \
        return after(&fault, real->function(session, mechanism, key));                             \
    }

/* A call without room for an answer asks for its length alone: nothing to spoil there. */
#define COMPUTE(function)                                                                          \
    static CK_RV my_##function(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len,            \
                               CK_BYTE *out, CK_ULONG *out_len)                                    \
    {                                                                                              \
        struct fault fault;                                                                        \
        CK_RV rv;                                                                                  \
        CK_ULONG cap = *out_len;                                                                   \
        if (before(#function, session, &fault, &rv)) {                                             \
            return rv;                                                                             \
        }                                                                                          \
        rv = real->function(session, in, in_len, out, out_len);                                    \
        if (rv == CKR_OK && out != NULL && fault.answer != ANSWER_RIGHT) {                         \
            struct operation now = operation_now(session);                                         \
            if (now.mechanism.pParameter != NULL) {                                                \
                now.mechanism.pParameter = now.parameter;                                          \
            }                                                                                      \
            (void)!fault_spoil(real, token_slot, fault.answer, &now.mechanism, in, in_len, out,    \
                               out_len, cap);                                                      \
        }                                                                                          \
        return after(&fault, rv);                                                                  \
    }

INIT(C_EncryptInit)
INIT(C_DecryptInit)
INIT(C_SignInit)
COMPUTE(C_Encrypt)
COMPUTE(C_Decrypt)
COMPUTE(C_Sign)

static CK_RV my_C_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                          CK_OBJECT_HANDLE wrapping_key, CK_OBJECT_HANDLE key, CK_BYTE *out,
                          CK_ULONG *out_len)
{
    struct fault fault;
    CK_RV rv;
    CK_ULONG cap = *out_len;
    if (before("C_WrapKey", session, &fault, &rv)) {
        return rv;
    }
    if (object_is_dead(wrapping_key)) {
        return CKR_WRAPPING_KEY_HANDLE_INVALID;
    }
    rv = real->C_WrapKey(session, mechanism, wrapping_key, key, out, out_len);
    if (rv == CKR_OK && out != NULL && fault.answer != ANSWER_RIGHT) {
        (void)!fault_spoil(real, token_slot, fault.answer, mechanism, NULL, 0, out, out_len, cap);
    }
    return after(&fault, rv);
}

FORWARD(C_GenerateRandom, session, (CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG len),
        (session, out, len))

/* --- the list --- */

static CK_RV load_real(void)
{
    struct fault_settings settings;
    fault_settings_now(&settings);
    void *library = dlopen(settings.module, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = NULL;
    void *symbol = library != NULL ? dlsym(library, "C_GetFunctionList") : NULL;
    memcpy(&get, &symbol, sizeof(get));
    return get != NULL ? get(&real) : CKR_GENERAL_ERROR;
}

#define WRAP(function) mine.function = my_##function

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    CK_RV rv = real == NULL ? load_real() : CKR_OK;
    if (rv != CKR_OK) {
        return rv;
    }
    mine = *real;
    mine.C_GetFunctionList = C_GetFunctionList;
    WRAP(C_Initialize);
    WRAP(C_Finalize);
    WRAP(C_GetSlotList);
    WRAP(C_GetTokenInfo);
    WRAP(C_GetMechanismInfo);
    WRAP(C_OpenSession);
    WRAP(C_CloseSession);
    WRAP(C_GetSessionInfo);
    WRAP(C_Login);
    WRAP(C_Logout);
    WRAP(C_CreateObject);
    WRAP(C_DestroyObject);
    WRAP(C_GetAttributeValue);
    WRAP(C_GenerateKey);
    WRAP(C_GenerateKeyPair);
    WRAP(C_UnwrapKey);
    WRAP(C_FindObjectsInit);
    WRAP(C_FindObjects);
    WRAP(C_WrapKey);
    WRAP(C_EncryptInit);
    WRAP(C_Encrypt);
    WRAP(C_DecryptInit);
    WRAP(C_Decrypt);
    WRAP(C_SignInit);
    WRAP(C_Sign);
    WRAP(C_GenerateRandom);
    *list = &mine;
    return CKR_OK;
}
