/* Session threads over a library that is a function of this file: it computes, waits or hangs, and
 * counts who is inside. */
#include "pool/pkcs11/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/base/clock.h"

#define SESSIONS   8u
#define PROCESSORS 2u

/* What a call does, by the algorithm that is asked for. */
#define COMPUTE KW_ALG_ES256
#define WAIT    KW_ALG_ES384
#define HANG    KW_ALG_ES512

static _Atomic int inside, most_inside, ran;

static void occupy(int64_t ns)
{
    for (int64_t until = kw_now_ns() + ns; kw_now_ns() < until;) {
    }
}

void pool_host_run(struct pool_host *host, CK_SESSION_HANDLE *session, uint8_t *out,
                   const struct pool_wire_request *req, struct pool_host_result *result)
{
    (void)host;
    (void)session;
    int now = atomic_fetch_add(&inside, 1) + 1, most = atomic_load(&most_inside);
    while (now > most && !atomic_compare_exchange_weak(&most_inside, &most, now)) {
    }
    if (req->alg == COMPUTE) {
        occupy(100000);
    } else {
        usleep(req->alg == WAIT ? 2000 : 700000);
    }
    memset(result, 0, sizeof(*result));
    result->answer.id = req->id;
    result->answer.verdict = POOL_WIRE_DONE;
    out[0] = 42;
    result->answer.out = kw_span_of(out, 1);
    atomic_fetch_sub(&inside, 1);
    atomic_fetch_add(&ran, 1);
}

CK_RV pool_host_open_session(struct pool_host *host, CK_SESSION_HANDLE *session)
{
    (void)host;
    *session = 1;
    return CKR_OK;
}

bool pool_host_coalesces(const struct pool_host *host, const struct pool_wire_request *first,
                         const struct pool_wire_request *other, size_t count)
{
    (void)host;
    (void)first;
    (void)other;
    (void)count;
    return false;
}

bool pool_host_run_many(struct pool_host *host, CK_SESSION_HANDLE session, uint8_t *out,
                        const struct pool_wire_request *const *reqs, size_t count,
                        struct pool_host_result *results)
{
    (void)host;
    (void)session;
    (void)out;
    (void)reqs;
    (void)count;
    (void)results;
    return false;
}

/* --- the gateway's end */

struct client {
    int fd;
    uint64_t next;
    size_t held;
    uint8_t in[65536];
};

/* A host of its own; its threads stay to the end of the process, like a host's. */
static struct pool_host *start_host(void)
{
    struct pool_host *host = calloc(1, sizeof(*host));
    assert_non_null(host);
    host->sessions = SESSIONS;
    host->processors = PROCESSORS;
    assert_int_equal(pool_host_work_start(host), KW_OK);
    assert_int_equal(host->sessions, SESSIONS);
    return host;
}

static void open_channel(struct client *client, struct pool_host *host)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    *client = (struct client){.fd = ends[0], .next = 1};
    struct timeval patience = {.tv_sec = 20};
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(pool_host_work_add(host, ends[1]), KW_OK);
}

static void ask(struct client *client, enum kw_alg alg, unsigned count)
{
    uint8_t room[32768];
    struct kw_buf out = {room, 0, sizeof(room)};
    for (unsigned i = 0; i < count; i++) {
        struct pool_wire_request req = {.id = client->next++,
                                        .kind = KW_KIND_SIGN,
                                        .alg = alg,
                                        .kty = KW_KTY_EC,
                                        .out_cap = 132};
        assert_int_equal(pool_wire_put_request(&out, &req), KW_OK);
    }
    assert_int_equal(send(client->fd, room, out.len, MSG_NOSIGNAL), (ssize_t)out.len);
}

/* Reads `count` answers; the sum of their numbers. */
static uint64_t answers(struct client *client, unsigned count)
{
    uint64_t sum = 0;
    for (unsigned got = 0; got < count;) {
        struct kw_span rest = kw_span_of(client->in, client->held), body;
        kw_status status;
        while (got < count && (status = pool_wire_next(&rest, &body)) == KW_OK) {
            struct pool_wire_answer answer;
            assert_int_equal(pool_wire_get_answer(body, &answer), KW_OK);
            assert_int_equal(answer.verdict, POOL_WIRE_DONE);
            assert_int_equal(answer.out.len, 1);
            assert_int_equal(answer.out.data[0], 42);
            sum += answer.id;
            got++;
        }
        memmove(client->in, rest.data, rest.len);
        client->held = rest.len;
        if (got < count) {
            ssize_t n =
                recv(client->fd, client->in + client->held, sizeof(client->in) - client->held, 0);
            assert_true(n > 0); /* no answer within 20 s is a lost request */
            client->held += (size_t)n;
        }
    }
    return sum;
}

/* Long enough for the first samples to be over. */
static void settle(struct client *client, enum kw_alg alg)
{
    ask(client, alg, 64);
    assert_int_equal(answers(client, 64), 64 * 65 / 2);
    atomic_store(&most_inside, 0);
}

/* --- the tests */

static void computing_is_held_to_the_processors(void **state)
{
    (void)state;
    struct client client;
    open_channel(&client, start_host());
    settle(&client, COMPUTE);
    ask(&client, COMPUTE, 200);
    assert_int_equal(answers(&client, 200), 264ull * 265 / 2 - 64 * 65 / 2);
    assert_in_range(atomic_load(&most_inside), 1, PROCESSORS);
    close(client.fd);
}

static void waiting_fills_the_sessions(void **state)
{
    (void)state;
    struct client client;
    open_channel(&client, start_host());
    settle(&client, WAIT);
    ask(&client, WAIT, 64);
    (void)answers(&client, 64);
    assert_int_equal(atomic_load(&most_inside), SESSIONS);
    close(client.fd);
}

/* Both places of a computing library are taken by calls that hang: others get through. */
static void who_hangs_holds_nobody_up(void **state)
{
    (void)state;
    struct pool_host *host = start_host();
    struct client client, stuck;
    open_channel(&client, host);
    open_channel(&stuck, host);
    settle(&client, COMPUTE);
    ask(&stuck, HANG, PROCESSORS);
    usleep(5000);
    int64_t began = kw_now_ns();
    ask(&client, COMPUTE, 20);
    (void)answers(&client, 20);
    assert_true(kw_now_ns() - began < KW_MS(500));
    (void)answers(&stuck, PROCESSORS);
    ask(&client, COMPUTE, 100); /* and the places are as many as before */
    atomic_store(&most_inside, 0);
    (void)answers(&client, 100);
    assert_in_range(atomic_load(&most_inside), 1, PROCESSORS);
    close(client.fd);
    close(stuck.fd);
}

/* A quick answer does not wait for a call of another kind behind it. */
static void quick_answers_do_not_wait_for_slow_calls(void **state)
{
    (void)state;
    struct pool_host *host = calloc(1, sizeof(*host));
    assert_non_null(host);
    host->sessions = host->processors = 1;
    assert_int_equal(pool_host_work_start(host), KW_OK);
    struct client client;
    open_channel(&client, host);
    uint8_t room[1024];
    struct kw_buf out = {room, 0, sizeof(room)};
    for (unsigned i = 0; i < 2; i++) {
        struct pool_wire_request req = {.id = i + 1,
                                        .kind = KW_KIND_SIGN,
                                        .alg = i == 0 ? COMPUTE : HANG,
                                        .kty = KW_KTY_EC,
                                        .out_cap = 132};
        assert_int_equal(pool_wire_put_request(&out, &req), KW_OK);
    }
    int64_t began = kw_now_ns();
    assert_int_equal(send(client.fd, room, out.len, MSG_NOSIGNAL), (ssize_t)out.len);
    assert_int_equal(answers(&client, 1), 1);
    assert_true(kw_now_ns() - began < KW_MS(400));
    assert_int_equal(answers(&client, 1), 2);
    close(client.fd);
}

/* Many channels, single requests and bunches, some closed with requests under way: everything that
 * can be answered is. */
static void nothing_is_lost(void **state)
{
    (void)state;
    struct pool_host *host = start_host();
    static struct client clients[6];
    for (unsigned round = 0; round < 30; round++) {
        for (unsigned i = 0; i < 6; i++) {
            if (clients[i].fd == 0) {
                open_channel(&clients[i], host);
            }
        }
        for (unsigned i = 0; i < 6; i++) {
            ask(&clients[i], i % 2 == 0 ? COMPUTE : WAIT, 1 + (round * 7 + i) % 20);
        }
        for (unsigned i = 0; i < 6; i++) {
            if ((round + i) % 5 == 0) {
                close(clients[i].fd);
                clients[i].fd = 0;
            } else {
                (void)answers(&clients[i], 1 + (round * 7 + i) % 20);
            }
        }
    }
    for (unsigned i = 0; i < 6; i++) {
        if (clients[i].fd != 0) {
            close(clients[i].fd);
        }
    }
}

/* What is no request ends the channel, not the host. */
static void rubbish_ends_the_channel(void **state)
{
    (void)state;
    struct pool_host *host = start_host();
    struct client good, bad;
    open_channel(&good, host);
    open_channel(&bad, host);
    uint8_t rubbish[64], byte;
    memset(rubbish, 0x55, sizeof(rubbish));
    assert_int_equal(send(bad.fd, rubbish, sizeof(rubbish), MSG_NOSIGNAL), sizeof(rubbish));
    assert_int_equal(recv(bad.fd, &byte, 1, 0), 0);
    ask(&good, COMPUTE, 1);
    assert_int_equal(answers(&good, 1), 1);
    close(good.fd);
    close(bad.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computing_is_held_to_the_processors),
        cmocka_unit_test(waiting_fills_the_sessions),
        cmocka_unit_test(who_hangs_holds_nobody_up),
        cmocka_unit_test(quick_answers_do_not_wait_for_slow_calls),
        cmocka_unit_test(nothing_is_lost),
        cmocka_unit_test(rubbish_ends_the_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
