#pragma once
/* Activation and recovery of a running gateway: its security domain leaves as a file for the
 * operators and comes in as a transfer blob. A domain that came in takes its place with a restart
 * of the program in place, because everything in memory derives from the one before. Blocking, one
 * call at a time; not on a loop. */

#include <openssl/x509.h>

#include "gateway/app.h"

/** What a call says to its client: a fault's HTTP status, or 0 and what is named here. */
struct gw_recovery_answer {
    char *text; /* malloc'd */
    int http;   /* 0: done */
    bool restart;
    char error[512];
};

/** From begin to end the calls below are served; else they answer 503. */
void gw_recovery_begin(struct gw_app *app);
/** Waits for a call that is under way. */
void gw_recovery_end(struct gw_app *app);

/** The security-domain file, sealed to these certificates. Where there is no domain yet, makes it,
 *  durably: the gateway is active from then on. */
void gw_recovery_download(struct gw_app *app, X509 *const *certs, size_t count, unsigned required,
                          struct gw_recovery_answer *out);
/** The JWK of the exchange key as JSON text; made when there is none. */
void gw_recovery_transfer_key(struct gw_app *app, struct gw_recovery_answer *out);
/** Takes a transfer blob. */
void gw_recovery_upload(struct gw_app *app, const char *text, size_t len,
                        struct gw_recovery_answer *out);

/** "Success", "Failed", "InProgress", and a sentence. Any thread, does not block. */
const char *gw_recovery_status(struct gw_app *app, bool upload, char *details, size_t len);
