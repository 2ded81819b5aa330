#include "pool/remote/remote.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

kw_status pool_remote_tls_create(SSL_CTX **out, const char *ca)
{
    static const unsigned char alpn[] = {2, 'h', '2'};
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    *out = tls;
    if (tls == NULL) {
        return KW_E_NOMEM;
    }
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    bool ok = SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) == 1 &&
              SSL_CTX_set_alpn_protos(tls, alpn, sizeof alpn) == 0;
    /* a system without a store of its own is no fault: then the configured file is all there is */
    SSL_CTX_set_default_verify_paths(tls);
    ok = ok && (ca == NULL || SSL_CTX_load_verify_locations(tls, ca, NULL) == 1);
    ERR_clear_error();
    if (!ok) {
        SSL_CTX_free(tls);
        *out = NULL;
        return KW_E_INPUT;
    }
    return KW_OK;
}

kw_status pool_remote_tls_open(struct pool_remote_conn *conn)
{
    struct pool_remote *remote = conn->link->remote;
    const char *host = remote->url.host;
    pthread_mutex_lock(&remote->lock);
    conn->ssl = SSL_new(remote->tls);
    pthread_mutex_unlock(&remote->lock);
    if (conn->ssl == NULL || SSL_set_fd(conn->ssl, conn->fd) != 1) {
        return KW_E_NOMEM;
    }
    X509_VERIFY_PARAM *param = SSL_get0_param(conn->ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    bool ok = remote->url.numeric ? X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1
                                  : X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
                                        SSL_set_tlsext_host_name(conn->ssl, host) == 1;
    SSL_set_connect_state(conn->ssl);
    return ok ? KW_OK : KW_E_NOMEM;
}

static void fail_verify(struct pool_remote_conn *conn, long result)
{
    switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        pool_remote_conn_fail(conn, "TLS: certificate expired");
        return;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        pool_remote_conn_fail(conn, "TLS: certificate not yet valid");
        return;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        pool_remote_conn_fail(conn, "TLS: host name mismatch: the certificate is not for %.60s",
                              conn->link->remote->url.host);
        return;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        pool_remote_conn_fail(conn, "TLS: unknown CA: the certificate's issuer is not trusted");
        return;
    default:
        pool_remote_conn_fail(conn, "TLS: certificate refused: %.80s",
                              X509_verify_cert_error_string(result));
    }
}

static void note_certificate(struct pool_remote_conn *conn)
{
    struct pool_remote *remote = conn->link->remote;
    X509 *peer = SSL_get0_peer_certificate(conn->ssl);
    struct tm end;
    if (peer != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(peer), &end) == 1) {
        pthread_mutex_lock(&remote->lock);
        remote->not_after = timegm(&end);
        pthread_mutex_unlock(&remote->lock);
    }
}

int pool_remote_tls_handshake(struct pool_remote_conn *conn)
{
    ERR_clear_error();
    int r = SSL_do_handshake(conn->ssl);
    if (r == 1) {
        const unsigned char *name;
        unsigned len;
        SSL_get0_alpn_selected(conn->ssl, &name, &len);
        if (len != 2 || memcmp(name, "h2", 2) != 0) {
            pool_remote_conn_fail(conn, "TLS: the endpoint does not speak HTTP/2");
            return -1;
        }
        note_certificate(conn);
        return 1;
    }
    int error = SSL_get_error(conn->ssl, r);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        return 0;
    }
    long result = SSL_get_verify_result(conn->ssl);
    unsigned long code = ERR_peek_error();
    if (result != X509_V_OK) {
        fail_verify(conn, result);
    } else if (error == SSL_ERROR_SSL && code != 0) {
        const char *reason = ERR_reason_error_string(code);
        pool_remote_conn_fail(conn, "TLS: handshake failed: %.80s",
                              reason != NULL ? reason : "unknown reason");
    } else {
        pool_remote_conn_fail(conn, "unreachable: the connection ended during the TLS handshake");
    }
    ERR_clear_error();
    return -1;
}
