/* Hosts that speak the protocol and mean harm: this program itself, started as `member-host`. What
 * a host does is the label of its token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "pool/member.h"
#include "pool/pkcs11/control.h"
#include "tests/support/softhsm.h"

#define CONTROL_FD   3
#define CHANNELS_MAX 8
#define ASKS         50 /* times that a host asks for one key before it answers */

/* --- the host --- */

static char lie[64];

static void say(const struct kw_buf *record)
{
    if (pool_control_send(CONTROL_FD, kw_buf_span(record), -1) != KW_OK) {
        _exit(0);
    }
}

static struct kw_span hear(int *fd)
{
    static uint8_t room[POOL_CONTROL_MAX];
    struct kw_span body;
    if (pool_control_receive(CONTROL_FD, room, &body, fd) != KW_OK) {
        _exit(0);
    }
    return body;
}

static void come_up(void)
{
    uint8_t room[512];
    struct kw_buf out = {room, 0, sizeof room};
    struct pool_wire_config config;
    struct pool_wire_hello hello = {.serial = "0"};
    const struct pool_wire_logged_in good = {0};
    const struct pool_wire_ready ready = {2};
    int fd;
    if (pool_wire_get_config(hear(&fd), &config) != KW_OK) {
        _exit(1);
    }
    snprintf(lie, sizeof lie, "%.*s", (int)config.token_label.len,
             (const char *)config.token_label.data);
    snprintf(hello.label, sizeof hello.label, "%.32s", lie);
    bool put = pool_wire_put_plain(&out, POOL_WIRE_LOCKED) == KW_OK;
    say(&out);
    out.len = 0;
    put = put && pool_wire_put_hello(&out, &hello) == KW_OK;
    say(&out);
    (void)hear(&fd); /* the login */
    out.len = 0;
    put = put && pool_wire_put_logged_in(&out, &good) == KW_OK;
    say(&out);
    out.len = 0;
    put = put && pool_wire_put_ready(&out, &ready) == KW_OK;
    say(&out);
    if (!put) {
        _exit(1);
    }
}

/* Under the probe's key, the one of FIPS 197 appendix C.3, whatever key is meant. */
static void encrypt(struct kw_span in, uint8_t out[KW_AES_BLOCK_LEN])
{
    uint8_t key[32];
    int len = 0;
    for (unsigned i = 0; i < sizeof key; i++) {
        key[i] = (uint8_t)i;
    }
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL || in.len != KW_AES_BLOCK_LEN ||
        EVP_EncryptInit_ex(ctx, EVP_aes_256_ecb(), NULL, key, NULL) != 1 ||
        EVP_EncryptUpdate(ctx, out, &len, in.data, KW_AES_BLOCK_LEN) != 1) {
        _exit(1);
    }
    EVP_CIPHER_CTX_free(ctx);
}

static void answer(int channel, const struct pool_wire_request *req)
{
    static unsigned asked;
    uint8_t room[512], block[KW_AES_BLOCK_LEN] = {0};
    struct kw_buf out = {room, 0, sizeof room};
    struct pool_wire_answer good = {.id = req->id, .out = kw_span_of(block, sizeof block)};
    bool probe = memcmp(req->key_id, "keyward-probe-1", 15) == 0;
    encrypt(req->in, block);
    kw_status status = strcmp(lie, "asks") == 0 && !probe && asked++ < ASKS
                           ? pool_wire_put_need_key(&out, req->id)
                           : pool_wire_put_answer(&out, &good);
    if (status != KW_OK || send(channel, out.data, out.len, MSG_NOSIGNAL) != (ssize_t)out.len) {
        _exit(0);
    }
}

static void read_channel(int channel)
{
    static uint8_t room[POOL_WIRE_RECORD_MAX];
    struct pool_wire_request req;
    ssize_t n = recv(channel, room, sizeof room, 0);
    struct kw_span rest = kw_span_of(room, n > 0 ? (size_t)n : 0), body;
    if (n <= 0) {
        _exit(0);
    }
    while (pool_wire_next(&rest, &body) == KW_OK) {
        if (pool_wire_get_request(body, &req) != KW_OK) {
            _exit(1);
        }
        answer(channel, &req);
    }
}

static void list_for_ever(uint32_t sequence)
{
    static const uint8_t ids[POOL_WIRE_FORGET_MAX][KW_KEY_ID_LEN];
    uint8_t room[sizeof ids + 64];
    struct kw_buf out = {room, 0, sizeof room};
    const struct pool_wire_loaded loaded = {sequence, kw_span_of(ids, sizeof ids)};
    if (pool_wire_put_loaded(&out, &loaded) == KW_OK) {
        for (;;) {
            say(&out);
        }
    }
}

static int host(void)
{
    struct pollfd fds[1 + CHANNELS_MAX] = {{.fd = CONTROL_FD, .events = POLLIN}};
    unsigned count = 1;
    come_up();
    while (poll(fds, count, -1) > 0) {
        for (unsigned i = 1; i < count; i++) {
            if (fds[i].revents != 0) {
                read_channel(fds[i].fd);
            }
        }
        if (fds[0].revents != 0) {
            struct pool_wire_list list;
            int fd;
            struct kw_span body = hear(&fd);
            if (fd >= 0 && count <= CHANNELS_MAX) {
                fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
            } else if (pool_wire_get_list(body, &list) == KW_OK) {
                list_for_ever(list.sequence);
            }
        }
    }
    return 0;
}

/* --- the bench --- */

static struct softhsm folder;
static char pin_file[128];
static struct kc_domain *domain;
static struct pool *pool;
static struct pool_port *port;

static void open_pool(const char *how)
{
    struct pool_member_config member = {.kind = POOL_MEMBER_PKCS11,
                                        .module = "none.so",
                                        .token_label = how,
                                        .pin_file = pin_file,
                                        .sessions = 2};
    const struct pool_config config = {.members = &member,
                                       .member_count = 1,
                                       .workers = 1,
                                       .soft_deadline_ns = KW_S(5),
                                       .recovery_retries = -1,
                                       .recovery_interval_ns = KW_MS(100),
                                       .state_dir = folder.state};
    snprintf(member.name, sizeof member.name, "%s", how);
    assert_int_equal(pool_create(&pool, &config, domain), KW_OK);
    assert_int_equal(pool_port_create(&port, pool), KW_OK);
}

static void close_pool(void)
{
    pool_port_destroy(port);
    pool_destroy(pool);
}

static void turn(void)
{
    struct pollfd wait = {.fd = pool_port_fd(port), .events = POLLIN};
    pool_port_run(port);
    poll(&wait, 1, 5);
    pool_port_run(port);
}

static void await_serving(void)
{
    static struct pool_stats stats;
    int64_t limit = kw_now_ns() + KW_S(20);
    for (pool_stats_read(pool, &stats); !stats.members[0].serving; pool_stats_read(pool, &stats)) {
        if (kw_now_ns() >= limit) {
            fail_msg("%s: %s", stats.members[0].sense, stats.members[0].reason);
        }
        turn();
    }
}

static bool over;

static void on_done(struct pool_op *op)
{
    (void)op;
    over = true;
}

/* One encryption under a key of the members. */
static kw_status run_one(void)
{
    static const uint8_t id[KW_KEY_ID_LEN] = "a key", bytes[32] = {1};
    uint8_t room[256], out[64], in[KW_AES_BLOCK_LEN] = {2};
    struct kw_buf blob = {room, 0, sizeof room};
    struct kc_key *secret;
    struct pool_key *key;
    assert_int_equal(
        kc_key_from_private(&secret, KW_KTY_OCT, KW_CURVE_NONE, kw_span_of(bytes, sizeof bytes)),
        KW_OK);
    assert_int_equal(pool_key_wrap(pool, id, secret, true, &blob), KW_OK);
    struct pool_key_desc desc = {
        .hsm = true, .pub = *kc_key_public(secret), .blob = kw_buf_span(&blob)};
    memcpy(desc.id, id, sizeof id);
    kc_key_unref(secret);
    assert_int_equal(pool_key_create(&key, pool, &desc), KW_OK);
    struct pool_op op = {.lane = {.kind = KW_KIND_ENCRYPT,
                                  .alg = KW_ALG_A256CBC,
                                  .in = kw_span_of(in, sizeof in),
                                  .iv = kw_span_of(in, sizeof in),
                                  .out = {out, 0, sizeof out}},
                         .key = key,
                         .deadline_ns = kw_now_ns() + KW_S(4),
                         .on_done = on_done};
    over = false;
    assert_int_equal(pool_submit(port, &op), KW_OK);
    while (!over) {
        turn();
    }
    pool_key_unref(key);
    return op.lane.status;
}

static void a_key_is_asked_for_once(void **state)
{
    (void)state;
    open_pool("asks");
    await_serving();
    assert_int_equal(run_one(), KW_E_UNAVAILABLE);
    close_pool();
}

#define FILES 64

/* A port whose channel to a host cannot be opened has one as soon as it can. */
static void a_channel_is_opened_when_it_can_be(void **state)
{
    (void)state;
    int taken[FILES], count = 0, fd;
    struct rlimit was, few;
    open_pool("answers");
    await_serving();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    few = (struct rlimit){FILES, was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while ((fd = dup(0)) >= 0) {
        taken[count++] = fd;
    }
    for (int i = 0; i < 3; i++) { /* what a port itself needs */
        close(taken[--count]);
    }
    struct pool_port *with_channel = port;
    assert_int_equal(pool_port_create(&port, pool), KW_OK);
    pool_port_run(port);
    while (count > 0) {
        close(taken[--count]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(run_one(), KW_OK);
    pool_port_destroy(with_channel);
    close_pool();
}

static struct pool_inventory *read_keys;

static void on_inventory(void *ctx, struct pool_inventory *inventory)
{
    (void)ctx;
    read_keys = inventory;
}

static void a_list_has_an_end(void **state)
{
    (void)state;
    open_pool("lists");
    await_serving();
    int64_t limit = kw_now_ns() + KW_S(20);
    assert_int_equal(pool_inventory(port, false, on_inventory, NULL), KW_OK);
    while (read_keys == NULL && kw_now_ns() < limit) {
        turn();
    }
    assert_non_null(read_keys);
    assert_false(read_keys->members[0].complete);
    assert_in_range(read_keys->members[0].loaded_count, 1, POOL_WIRE_KEYS_MAX);
    pool_inventory_free(read_keys);
    close_pool();
}

static int set_up(void **state)
{
    (void)state;
    return softhsm_start(&folder) && softhsm_write(&folder, "a.pin", "1111\n", pin_file) &&
                   kc_lanes_init() == KW_OK && kc_domain_create(&domain) == KW_OK
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    kc_domain_destroy(domain);
    softhsm_stop(&folder);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "member-host") == 0) {
        return host();
    }
    if (access(SOFTHSM_MODULE, R_OK) != 0) {
        return 77;
    }
    /* the pool refers to this kind weakly: named here, it is linked in */
    if (pool_member_pkcs11.kind == NULL) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_asked_for_once),
        cmocka_unit_test(a_channel_is_opened_when_it_can_be),
        cmocka_unit_test(a_list_has_an_end),
    };
    alarm(240);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
