#include "gateway/obs/certificates.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <time.h>

static void note(struct gw_metrics *metrics, const char *file)
{
    FILE *stream = fopen(file, "re");
    X509 *cert = stream ? PEM_read_X509(stream, NULL, NULL, NULL) : NULL;
    if (stream)
        fclose(stream);
    struct tm end;
    char subject[128];
    if (cert && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) == 1) {
        if (X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, subject,
                                      sizeof subject) < 1)
            snprintf(subject, sizeof subject, "%s", file);
        gw_metrics_certificate(metrics, subject, timegm(&end));
    }
    X509_free(cert);
    ERR_clear_error();
}

void gw_certificates_note(struct gw_metrics *metrics, const struct gw_config *config)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].certificate)
            note(metrics, config->listeners[i].certificate);
    }
}
