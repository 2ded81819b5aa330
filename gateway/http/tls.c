#include "gateway/http/tls.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "gateway/http/tls_tickets.h"

/* Mozilla's "intermediate": forward secret AEAD suites only, which is also what RFC 9113
 * section 9.2.2 leaves of TLS 1.2. */
#define SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define SUITES_12                                                                                  \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS        "X25519:P-256:P-384"
#define CERT_LIST_MAX (32 * 1024)
#define CLIENT_DEPTH  3

static int ex_index(void)
{
    static int index = -1;
    if (index < 0)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return index;
}

static int on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int encrypt)
{
    struct gw_tls_tickets *tickets = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ex_index());
    return gw_tls_ticket_key(tickets, name, iv, cipher, mac, encrypt);
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours, sizeof ours - 1, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* no_application_protocol, RFC 7301 section 3.2 */
    return SSL_TLSEXT_ERR_OK;
}

static kw_status failed(char *error, size_t error_len, const char *what, const char *file)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(error, error_len, "%s: %s%s%s", file, what, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    return KW_E_INPUT;
}

static bool set_policy(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_max_cert_list(ctx, CERT_LIST_MAX);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, SUITES_13) == 1 &&
           SSL_CTX_set_cipher_list(ctx, SUITES_12) == 1 &&
           SSL_CTX_set1_groups_list(ctx, GROUPS) == 1;
}

static kw_status load_pair(SSL_CTX *ctx, const struct gw_tls_files *files, char *error,
                           size_t error_len)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, files->certificate) != 1)
        return failed(error, error_len, "cannot load the certificate", files->certificate);
    if (SSL_CTX_use_PrivateKey_file(ctx, files->private_key, SSL_FILETYPE_PEM) != 1)
        return failed(error, error_len, "cannot load the private key", files->private_key);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return failed(error, error_len, "does not belong to the certificate", files->private_key);
    const X509 *cert = SSL_CTX_get0_certificate(ctx);
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
        return failed(error, error_len, "the certificate has expired", files->certificate);
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0)
        return failed(error, error_len, "the certificate is not valid yet", files->certificate);
    return KW_OK;
}

/* Tickets are bound to the client CA: one made under an older set of CAs does not pass the new one.
 */
static bool bind_sessions(SSL_CTX *ctx, const struct gw_tls_files *files)
{
    unsigned char id[EVP_MAX_MD_SIZE];
    unsigned id_len = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    STACK_OF(X509_NAME) *names = SSL_CTX_get_client_CA_list(ctx);
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(md, "keyward", 7) == 1;
    if (ok && files->client_ca) {
        FILE *file = fopen(files->client_ca, "re");
        char block[4096];
        size_t got;
        ok = file != NULL && names != NULL;
        while (ok && (got = fread(block, 1, sizeof block, file)) > 0)
            ok = EVP_DigestUpdate(md, block, got) == 1;
        if (file)
            fclose(file);
    }
    ok = ok && EVP_DigestFinal_ex(md, id, &id_len) == 1 &&
         SSL_CTX_set_session_id_context(ctx, id, 32) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

static kw_status load_client_ca(SSL_CTX *ctx, const struct gw_tls_files *files, char *error,
                                size_t error_len)
{
    if (files->client_ca) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(files->client_ca);
        if (!names || SSL_CTX_load_verify_file(ctx, files->client_ca) != 1) {
            sk_X509_NAME_pop_free(names, X509_NAME_free);
            return failed(error, error_len, "cannot load the client CA", files->client_ca);
        }
        SSL_CTX_set_client_CA_list(ctx, names);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        SSL_CTX_set_verify_depth(ctx, CLIENT_DEPTH);
    }
    if (!bind_sessions(ctx, files))
        return failed(error, error_len, "cannot prepare sessions", files->certificate);
    return KW_OK;
}

/* One handshake in memory: a key that the policy cannot use (an odd curve, a weak RSA key) shows
 * here and not at the first client. */
static bool handshake_works(SSL_CTX *server_ctx)
{
    SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
    SSL *server = SSL_new(server_ctx), *client = client_ctx ? SSL_new(client_ctx) : NULL;
    BIO *server_bio = NULL, *client_bio = NULL;
    bool done = false;
    if (server && client && BIO_new_bio_pair(&server_bio, 65536, &client_bio, 65536) == 1) {
        SSL_set_bio(server, server_bio, server_bio);
        SSL_set_bio(client, client_bio, client_bio);
        SSL_set_verify(server, SSL_VERIFY_NONE, NULL);
        for (int i = 0; i < 16 && !done; i++) {
            bool client_done = SSL_connect(client) == 1;
            done = SSL_accept(server) == 1 && client_done;
        }
    }
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(client_ctx);
    return done;
}

kw_status gw_tls_context(SSL_CTX **out, const struct gw_tls_files *files,
                         struct gw_tls_tickets *tickets, char *error, size_t error_len)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    *out = NULL;
    ERR_clear_error();
    if (!ctx || !set_policy(ctx) || SSL_CTX_set_ex_data(ctx, ex_index(), tickets) != 1 ||
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key) != 1) {
        SSL_CTX_free(ctx);
        return failed(error, error_len, "cannot make a TLS context", files->certificate);
    }
    kw_status status = load_pair(ctx, files, error, error_len);
    if (status == KW_OK)
        status = load_client_ca(ctx, files, error, error_len);
    if (status == KW_OK && !handshake_works(ctx))
        status = failed(error, error_len, "a test handshake failed with this certificate",
                        files->certificate);
    if (status != KW_OK) {
        SSL_CTX_free(ctx);
        return status;
    }
    ERR_clear_error();
    *out = ctx;
    return KW_OK;
}
