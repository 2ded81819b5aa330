#include "gateway/cli/dr_scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "gateway/cli/control.h"
#include "gateway/config/backup.h"
#include "gateway/config/durable.h"

#define STEP_NS   50000000
#define START_S   60
#define INSTALL_S 120
#define END_S     20

/* --- waiting --- */

bool dr_interrupted(void)
{
    static bool asked;
    const struct timespec now = {0, 0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    if (!asked && sigtimedwait(&set, NULL, &now) > 0)
        asked = true;
    return asked;
}

static void last_line(const struct dr_scratch *s, char *out, size_t len)
{
    char path[128], line[1024];
    snprintf(path, sizeof path, "%s/log", s->dir);
    FILE *file = fopen(path, "re");
    out[0] = '\0';
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        snprintf(out, len, "%.400s", line);
    }
    if (file)
        fclose(file);
}

/** KW_OK: go on waiting. */
static kw_status still(struct dr_scratch *s, char *why)
{
    const struct timespec step = {0, STEP_NS};
    char line[512];
    int code = 0;
    if (dr_interrupted()) {
        snprintf(why, DR_WHY, "interrupted");
        return KW_E_UNAVAILABLE;
    }
    if (s->pid > 0 && waitpid(s->pid, &code, WNOHANG) == s->pid) {
        s->pid = 0;
        last_line(s, line, sizeof line);
        snprintf(why, DR_WHY, "the scratch instance ended: %s", line);
        return KW_E_UNAVAILABLE;
    }
    nanosleep(&step, NULL);
    return KW_OK;
}

/* --- its folder --- */

/** Memory rather than a disk: the domain's key lies in it for a while. */
static const char *choose_base(const char *asked, uint64_t bytes)
{
    struct statvfs room;
    const char *tmp = getenv("TMPDIR");
    if (asked)
        return asked;
    if (access("/dev/shm", W_OK | X_OK) == 0 && statvfs("/dev/shm", &room) == 0 &&
        (uint64_t)room.f_bavail * room.f_frsize > 6 * bytes + (64u << 20))
        return "/dev/shm";
    return tmp && *tmp ? tmp : "/tmp";
}

static bool name(char *out, size_t len, const struct dr_scratch *s, const char *file)
{
    return (size_t)snprintf(out, len, "%s/%s", s->dir, file) < len;
}

/* JSON is YAML: names of any kind are quoted right. */
static kw_status write_config(const struct dr_scratch *s, const struct dr_place *place,
                              const struct dr_backup *backups, size_t count, char *why)
{
    char bind[128], own[128];
    snprintf(bind, sizeof bind, "unix:%s", s->api);
    snprintf(own, sizeof own, "%s/own", s->dir);
    json_t *vaults = json_array(), *folders = json_pack("[s]", own);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(vaults, json_pack("{s:s}", "name", backups[i].vault));
    if (place->folder)
        json_array_append_new(folders, json_string(place->folder));
    json_t *backup = json_pack("{s:o}", "folders", folders);
    if (place->rules.ca)
        json_object_set_new(backup, "ca", json_string(place->rules.ca));
    json_t *root = json_pack("{s:s,s:s,s:[{s:s}],s:o,s:o}", "data", s->data, "control", s->control,
                             "listeners", "bind", bind, "backup", backup, "vaults", vaults);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    kw_status status =
        text ? gw_write_durable(s->config, kw_span_str(text), 0600, why, DR_WHY) : KW_E_NOMEM;
    if (status == KW_OK && (mkdir(own, 0700) != 0 || mkdir(s->data, 0700) != 0)) {
        snprintf(why, DR_WHY, "%s: %s", s->dir, strerror(errno));
        status = KW_E_IO;
    }
    json_decref(root);
    free(text);
    return status;
}

kw_status dr_scratch_make(struct dr_scratch *s, const char *base, uint64_t bytes,
                          const struct dr_place *place, const struct dr_backup *backups,
                          size_t count, char *why)
{
    *s = (struct dr_scratch){.pid = 0};
    char *real = realpath(choose_base(base, bytes), NULL);
    int len = real ? snprintf(s->dir, sizeof s->dir, "%s/keyward-rehearsal-XXXXXX", real) : -1;
    free(real);
    if (len < 0 || len >= (int)sizeof s->dir - 12 || !mkdtemp(s->dir)) {
        snprintf(why, DR_WHY, "no scratch folder can be made in %.200s%s", choose_base(base, bytes),
                 len >= (int)sizeof s->dir - 12 ? ": the path is too long" : "");
        s->dir[0] = '\0';
        return KW_E_IO;
    }
    if (!name(s->config, sizeof s->config, s, "k.yaml") ||
        !name(s->data, sizeof s->data, s, "data") ||
        !name(s->control, sizeof s->control, s, "control") ||
        !name(s->api, sizeof s->api, s, "api"))
        return KW_E_INPUT;
    return write_config(s, place, backups, count, why);
}

/* Before it is gone it is overwritten: on a disk that may not reach the old blocks, in memory it
 * does. */
static int wipe_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    static const uint8_t zeros[65536];
    (void)at;
    if (type == FTW_DP || type == FTW_D)
        return rmdir(path);
    int fd = S_ISREG(st->st_mode) ? open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    off_t left = fd >= 0 ? st->st_size : 0;
    while (left > 0) {
        ssize_t n = write(fd, zeros, left < (off_t)sizeof zeros ? (size_t)left : sizeof zeros);
        if (n <= 0)
            break;
        left -= n;
    }
    if (fd >= 0) {
        if (fsync(fd) != 0)
            left = 1;
        close(fd);
    }
    return unlink(path);
}

bool dr_scratch_remove(struct dr_scratch *s, char *why)
{
    int64_t end = kw_now_ns() + KW_S(END_S);
    if (s->pid > 0)
        kill(s->pid, SIGTERM);
    while (s->pid > 0) {
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
            s->pid = 0;
        else if (kw_now_ns() > end)
            kill(s->pid, SIGKILL);
        if (s->pid > 0)
            nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
    }
    if (!s->dir[0])
        return true;
    if (nftw(s->dir, wipe_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0) {
        snprintf(why, DR_WHY, "%s: %s", s->dir, strerror(errno));
        return false;
    }
    s->dir[0] = '\0';
    return true;
}

/* --- its process --- */

static void become(const struct dr_scratch *s, pid_t parent)
{
    char log[128];
    snprintf(log, sizeof log, "%s/log", s->dir);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), in = open("/dev/null", O_RDONLY);
    setpgid(0, 0); /* the terminal's signals come to the rehearsal, which ends it in order */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || out < 0 || in < 0 ||
        dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(127);
    close_range(3, ~0u, 0);
    execl("/proc/self/exe", "keyward", "serve", "-c", s->config, "--await-domain", "--log-level",
          "warn", (char *)NULL);
    _exit(127);
}

/** What answers: the domain's certificate, or NULL and KW_E_NOT_FOUND while nothing does. */
static kw_status ask_exchange(struct dr_scratch *s, X509 **cert)
{
    char error[512], *text = NULL;
    int http = 0;
    /* a key is made for it: that may take seconds on a busy machine */
    if (cli_control_send(s->control, "GET", "/securitydomain/upload", NULL, START_S, &http, &text,
                         error, sizeof error) != KW_OK)
        return KW_E_NOT_FOUND;
    json_t *answer = http == 200 ? json_loads(text, 0, NULL) : NULL;
    free(text);
    *cert = cli_cert_of_jwk(json_string_value(json_object_get(answer, "transfer_key")));
    json_decref(answer);
    return *cert ? KW_OK : KW_E_NOT_FOUND;
}

kw_status dr_scratch_start(struct dr_scratch *s, char *why)
{
    int64_t end = kw_now_ns() + KW_S(START_S);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(s, parent);
    if (pid < 0) {
        snprintf(why, DR_WHY, "no process can be made: %s", strerror(errno));
        return KW_E_NOMEM;
    }
    s->pid = pid;
    while (kw_now_ns() < end) {
        char error[512], *text = NULL;
        int http = 0;
        KW_TRY(still(s, why));
        if (cli_control(s->control, "GET", "/status.json", &http, &text, error, sizeof error) ==
            KW_OK) {
            free(text);
            return KW_OK;
        }
    }
    snprintf(why, DR_WHY, "the scratch instance does not answer within %d s", START_S);
    return KW_E_UNAVAILABLE;
}

/* --- recovery --- */

static kw_status upload(struct dr_scratch *s, const char *blob, char *why)
{
    char error[512], *text = NULL;
    int http = 0;
    json_t *body = json_pack("{s:s}", "value", blob);
    char *json = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (!json)
        return KW_E_NOMEM;
    kw_status status = cli_control_send(s->control, "POST", "/securitydomain/upload", json, 60,
                                        &http, &text, error, sizeof error);
    free(json);
    if (status == KW_OK && http >= 300) {
        snprintf(error, sizeof error, "%.500s", text);
        status = KW_E_INPUT;
    }
    if (status != KW_OK)
        snprintf(why, DR_WHY, "the upload was refused: %s", error);
    free(text);
    return status;
}

static kw_status wait_installed(struct dr_scratch *s, char *why)
{
    int64_t end = kw_now_ns() + KW_S(INSTALL_S);
    while (kw_now_ns() < end) {
        char error[512], *text = NULL;
        int http = 0;
        KW_TRY(still(s, why));
        if (cli_control(s->control, "GET", "/securitydomain/upload/pending", &http, &text, error,
                        sizeof error) != KW_OK)
            continue;
        json_t *answer = json_loads(text, 0, NULL);
        free(text);
        const char *status = json_string_value(json_object_get(answer, "status"));
        bool good = status && strcmp(status, "Success") == 0;
        bool failed = status && strcmp(status, "Failed") == 0;
        const char *details = json_string_value(json_object_get(answer, "status_details"));
        if (failed)
            snprintf(why, DR_WHY, "%s", details ? details : "refused");
        json_decref(answer);
        if (good || failed)
            return good ? KW_OK : KW_E_INPUT;
    }
    snprintf(why, DR_WHY, "the domain was not installed within %d s", INSTALL_S);
    return KW_E_UNAVAILABLE;
}

kw_status dr_scratch_recover(struct dr_scratch *s, const struct cli_quorum *quorum, char *why)
{
    X509 *exchange = NULL;
    char *blob = NULL;
    if (ask_exchange(s, &exchange) != KW_OK) {
        snprintf(why, DR_WHY, "the scratch instance gives no exchange key");
        return KW_E_UNAVAILABLE;
    }
    kw_status status = cli_quorum_blob(&blob, quorum, exchange, why, DR_WHY);
    X509_free(exchange);
    if (status == KW_OK)
        status = upload(s, blob, why);
    if (status == KW_OK)
        status = wait_installed(s, why);
    free(blob);
    return status;
}

/* --- asking --- */

static json_t *ask(struct dr_scratch *s, const char *socket, const char *vault, const char *method,
                   const char *path, const json_t *body, int *http, char *why)
{
    char host[STORE_VAULT_MAX + 16], *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    snprintf(host, sizeof host, "%s.localhost", vault);
    struct cli_exchange x = {.method = method,
                             .path = path,
                             .host = host,
                             .json = body != NULL,
                             .seconds = 60,
                             .body = text,
                             .body_len = text ? strlen(text) : 0};
    json_t *answer = NULL;
    (void)s;
    *http = 0;
    if (cli_exchange(socket, &x, why, DR_WHY) == KW_OK) {
        *http = x.status;
        answer = x.answer_len > 0 ? json_loadb(x.answer, x.answer_len, 0, NULL) : json_object();
    }
    if (answer && x.status / 100 != 2) {
        const char *message =
            json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
        snprintf(why, DR_WHY, "%d: %s", x.status, message ? message : "no reason given");
        json_decref(answer);
        answer = NULL;
    }
    free(x.answer);
    if (text)
        kw_wipe(text, strlen(text)); /* a SAS token may be in it */
    free(text);
    return answer;
}

json_t *dr_scratch_call(struct dr_scratch *s, const char *vault, const char *method,
                        const char *path, const json_t *body, int *http, char *why)
{
    return ask(s, s->api, vault, method, path, body, http, why);
}

/** Begins a job and waits for its end. Takes `body` over. */
static kw_status run_job(struct dr_scratch *s, const char *vault, const char *method,
                         const char *path, json_t *body, char *why)
{
    char pending[128];
    int http = 0;
    json_t *job = body ? ask(s, s->control, vault, method, path, body, &http, why) : NULL;
    json_decref(body);
    const char *id = json_string_value(json_object_get(job, "jobId"));
    snprintf(pending, sizeof pending, "%s/%.64s/pending", path, id ? id : "");
    kw_status status = job ? KW_OK : KW_E_INPUT;
    while (status == KW_OK) {
        const char *state = json_string_value(json_object_get(job, "status"));
        if (state && strcmp(state, "InProgress") != 0)
            break;
        json_decref(job);
        job = NULL;
        status = still(s, why);
        if (status == KW_OK)
            job = ask(s, s->control, vault, "GET", pending, NULL, &http, why);
        if (status == KW_OK && !job)
            status = KW_E_UNAVAILABLE;
    }
    const char *state = json_string_value(json_object_get(job, "status"));
    if (status == KW_OK && (!state || strcmp(state, "Succeeded") != 0)) {
        const char *message =
            json_string_value(json_object_get(json_object_get(job, "error"), "message"));
        snprintf(why, DR_WHY, "%s", message ? message : "it failed");
        status = KW_E_INTEGRITY;
    }
    json_decref(job);
    return status;
}

kw_status dr_scratch_restore(struct dr_scratch *s, const struct dr_place *place,
                             const struct dr_backup *backup, char *why)
{
    char own[128];
    snprintf(own, sizeof own, "%s/own", s->dir);
    char *address = gw_folder_address(own);
    json_t *body = address ? json_pack("{s:s}", "storageResourceUri", address) : NULL;
    free(address);
    KW_TRY(run_job(s, backup->vault, "POST", "/backup", body, why));
    body = json_pack("{s:{s:s},s:s}", "sasTokenParameters", "storageResourceUri", place->uri,
                     "folderToRestore", backup->folder);
    if (body && place->token[0])
        json_object_set_new(json_object_get(body, "sasTokenParameters"), "token",
                            json_string(place->token));
    return run_job(s, backup->vault, "PUT", "/restore", body, why);
}
