#include "pool/pkcs11/diagnose_host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "pool/pkcs11/ckr.h"
#include "pool/pkcs11/control.h"
#include "pool/pkcs11/identity.h"
#include "pool/pkcs11/member.h"
#include "pool/pkcs11/spawn.h"

static struct kw_span text_of(const char *text)
{
    return text != NULL ? kw_span_str(text) : kw_span_of(NULL, 0);
}

kw_status diagnose_host_start(struct diagnose_host *host, const struct pool_member_config *member,
                              const struct pool_diagnose_options *options)
{
    *host = (struct diagnose_host){.control = -1};
    host->room = kw_secret_alloc(POOL_CONTROL_MAX);
    if (host->room == NULL) {
        return KW_E_NOMEM;
    }
    struct pool_wire_config msg = {.module = text_of(member->module),
                                   .token_label = text_of(member->token_label),
                                   .token_serial = text_of(member->token_serial),
                                   .sessions = 1,
                                   .processors = 1,
                                   .loaded_keys = POOL_LOADED_KEYS,
                                   .sandbox = (uint8_t)member->sandbox,
                                   .memory = member->memory_max,
                                   .files = member->files_max,
                                   .paths = kw_span_of(member->paths, member->paths_len)};
    struct kw_buf out = {host->room, 0, POOL_CONTROL_MAX};
    KW_TRY(pool_wire_put_config(&out, &msg));
    int lock = pool_p11_open_lock(options->state_dir, member->module);
    if (lock < 0) {
        return KW_E_IO;
    }
    kw_status status = pool_spawn_host(options->host_program, &host->pid, &host->control);
    if (status == KW_OK) {
        status = pool_control_send(host->control, kw_buf_span(&out), lock);
    } else {
        host->pid = 0;
    }
    close(lock);
    return status;
}

static kw_status wait_for(int fd, int64_t end_ns)
{
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left = end_ns - kw_now_ns();
        int n = poll(&wait, 1, left > 0 ? (int)(left / 1000000) + 1 : 0);
        if (n > 0) {
            return KW_OK;
        }
        if (n < 0 && errno != EINTR) {
            return KW_E_IO;
        }
        if (n == 0) {
            return KW_E_DEADLINE;
        }
    }
}

static void reap(struct diagnose_host *host)
{
    while (host->pid > 0 && waitpid(host->pid, &host->wait_status, 0) < 0 && errno == EINTR) {
    }
    host->pid = 0;
}

kw_status diagnose_host_wait(struct diagnose_host *host, struct kw_span *body, int64_t limit_ns)
{
    int fd = -1;
    KW_TRY(wait_for(host->control, kw_now_ns() + limit_ns));
    kw_status status = pool_control_receive(host->control, host->room, body, &fd);
    if (fd >= 0) {
        close(fd);
    }
    if (status == KW_E_IO) {
        /* the socket is closed at exit: the process is over, or about to be */
        reap(host);
    }
    return status == KW_E_NOT_FOUND ? KW_E_INPUT : status;
}

kw_status diagnose_host_login(struct diagnose_host *host, const struct kc_domain *domain,
                              struct kw_span pin)
{
    struct kw_secret wrapping = {0};
    struct kw_buf out = {host->room, 0, POOL_CONTROL_MAX};
    char check[2 * POOL_DOMAIN_CHECK_LEN + 1];
    KW_TRY(pool_domain_check(check, domain));
    KW_TRY(kc_domain_member_key(domain, &wrapping));
    struct pool_wire_login msg = {pin, kw_span_of(wrapping.data, wrapping.len), kw_span_str(check),
                                  false};
    kw_status status = pool_wire_put_login(&out, &msg);
    if (status == KW_OK) {
        status = pool_control_send(host->control, kw_buf_span(&out), -1);
    }
    kw_wipe(host->room, out.len);
    kw_secret_clear(&wrapping);
    return status;
}

/* --- one signature --- */

static kw_status open_channel(struct diagnose_host *host, int *channel)
{
    uint8_t room[16];
    struct kw_buf record = {room, 0, sizeof(room)};
    int ends[2];
    KW_TRY(pool_wire_put_plain(&record, POOL_WIRE_CHANNEL));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return KW_E_IO;
    }
    kw_status status = pool_control_send(host->control, kw_buf_span(&record), ends[1]);
    close(ends[1]);
    if (status != KW_OK) {
        close(ends[0]);
        return status;
    }
    *channel = ends[0];
    return KW_OK;
}

static kw_status send_request(int channel, const struct kc_domain *domain, const struct kc_key *key,
                              struct kw_span digest)
{
    static const uint8_t id[KW_KEY_ID_LEN] = "keyward-doctor";
    uint8_t blob_room[512], room[2048];
    struct kw_buf blob = {blob_room, 0, sizeof(blob_room)}, out = {room, 0, sizeof(room)};
    KW_TRY(kc_blob_wrap(domain, id, key, true, &blob));
    struct pool_wire_request req = {.id = 1,
                                    .kind = KW_KIND_SIGN,
                                    .alg = KW_ALG_ES256,
                                    .kty = KW_KTY_EC,
                                    .curve = KW_CURVE_P256,
                                    .bits = 256,
                                    .out_cap = 64,
                                    .blob = kw_buf_span(&blob),
                                    .in = digest};
    memcpy(req.key_id, id, sizeof(req.key_id));
    KW_TRY(pool_wire_put_request(&out, &req));
    return send(channel, out.data, out.len, MSG_NOSIGNAL) == (ssize_t)out.len ? KW_OK : KW_E_IO;
}

static kw_status receive_answer(int channel, uint8_t *room, size_t cap, int64_t end_ns,
                                struct pool_wire_answer *answer)
{
    for (size_t len = 0; len < cap;) {
        KW_TRY(wait_for(channel, end_ns));
        ssize_t n = recv(channel, room + len, cap - len, 0);
        if (n <= 0) {
            return KW_E_IO;
        }
        len += (size_t)n;
        struct kw_span stream = kw_span_of(room, len), body;
        kw_status status = pool_wire_next(&stream, &body);
        if (status == KW_OK) {
            return pool_wire_get_answer(body, answer);
        }
        if (status != KW_E_NOT_FOUND) {
            return status;
        }
    }
    return KW_E_INPUT;
}

static bool verifies(const struct kc_key *key, struct kw_span digest, struct kw_span signature)
{
    struct kc_lane_op op = {
        .key = key, .kind = KW_KIND_VERIFY, .alg = KW_ALG_ES256, .in = digest, .sig = signature};
    struct kc_lane_op *ops[] = {&op};
    enum kc_shape shape;
    struct kc_scratch *scratch = kc_scratch_create();
    bool valid = false;
    if (scratch != NULL && kc_lanes_shape(&op, &shape) == KW_OK) {
        kc_lanes_run(ops, 1, shape, scratch);
        valid = op.status == KW_OK && op.valid;
    }
    kc_scratch_destroy(scratch);
    return valid;
}

static kw_status sign_with(int channel, const struct kc_domain *domain, const struct kc_key *key,
                           int64_t end_ns, char *why, size_t why_len)
{
    uint8_t digest[32], room[1024];
    struct pool_wire_answer answer;
    KW_TRY(kw_random(digest, sizeof(digest)));
    struct kw_span input = kw_span_of(digest, sizeof(digest));
    KW_TRY(send_request(channel, domain, key, input));
    kw_status status = receive_answer(channel, room, sizeof(room), end_ns, &answer);
    if (status != KW_OK) {
        snprintf(why, why_len, "%s",
                 status == KW_E_DEADLINE ? "no answer in time" : "the library ended its process");
        return status;
    }
    if (answer.verdict != POOL_WIRE_DONE || answer.status != KW_OK) {
        snprintf(why, why_len, "the token answered CKR_%s (0x%lx)",
                 pool_ckr((unsigned long)answer.ckr)->name, (unsigned long)answer.ckr);
        return KW_E_UNAVAILABLE;
    }
    if (!verifies(key, input, answer.out)) {
        snprintf(why, why_len, "the token's signature does not verify");
        return KW_E_INTEGRITY;
    }
    return KW_OK;
}

kw_status diagnose_host_sign(struct diagnose_host *host, const struct kc_domain *domain,
                             int64_t limit_ns, char *why, size_t why_len)
{
    struct kc_key *key = NULL;
    int channel = -1;
    snprintf(why, why_len, "the operation could not be prepared");
    KW_TRY(kc_key_generate(&key, KW_KTY_EC, 256, KW_CURVE_P256, 0));
    kw_status status = open_channel(host, &channel);
    if (status == KW_OK) {
        status = sign_with(channel, domain, key, kw_now_ns() + limit_ns, why, why_len);
        close(channel);
    }
    kc_key_unref(key);
    return status;
}

void diagnose_host_end(struct diagnose_host *host)
{
    if (host->pid > 0) {
        kill(host->pid, SIGKILL);
        reap(host);
    }
    if (host->control >= 0) {
        close(host->control);
    }
    kw_secret_free(host->room);
    *host = (struct diagnose_host){.control = -1};
}
