#include "gateway/vault/archive/export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "gateway/vault/archive/export_job.h"
#include "gateway/vault/vault.h"

#define JOBS_MAX    8
#define UPLOAD_MAX  (UINT64_C(1) << 40)
#define REST_MAX_NS KW_S(2)
#define CLEAR_STEPS 300 /* of 20 ms */

/* --- what the work uses --- */

kw_status transfer_go_on(const struct transfer *t)
{
    bool end = atomic_load(&t->dropped) || atomic_load(&t->all->loops_ended) ||
               (t->all->draining && atomic_load(t->all->draining));
    return end ? KW_E_UNAVAILABLE : KW_OK;
}

static int64_t cpu_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return KW_S((int64_t)at.tv_sec) + at.tv_nsec;
}

void transfer_stretch_begin(struct transfer_stretch *stretch)
{
    stretch->cpu_ns = cpu_ns();
}

void transfer_rest(const struct transfer *t, struct transfer_stretch *stretch, uint64_t bytes)
{
    const struct vault_pace *pace = &t->all->pace;
    int64_t used = cpu_ns() - stretch->cpu_ns;
    int64_t share = used / pace->percent * (100 - pace->percent);
    int64_t rate = 0;
    if (pace->bytes_per_second > 0)
        rate = (int64_t)(bytes * 1000 / pace->bytes_per_second) * 1000000;
    int64_t rest = share > rate ? share : rate;
    if (rest > REST_MAX_NS)
        rest = REST_MAX_NS;
    struct timespec span = {.tv_sec = rest / KW_S(1), .tv_nsec = rest % KW_S(1)};
    nanosleep(&span, NULL);
}

kw_status transfer_fail(struct transfer *t, kw_status status, const char *format, ...)
{
    va_list args;
    pthread_mutex_lock(&t->all->lock);
    if (t->info.message[0] == '\0') { /* the first one is the cause */
        va_start(args, format);
        vsnprintf(t->info.message, sizeof t->info.message, format, args);
        va_end(args);
    }
    pthread_mutex_unlock(&t->all->lock);
    return status;
}

/* --- jobs --- */

/* Under the lock. */
static void unref(struct transfer *t)
{
    if (--t->refs > 0)
        return;
    close(t->fd);
    if (t->call)
        free(t->call);
    if (t->terms) {
        kw_wipe(t->terms, sizeof *t->terms);
        free(t->terms);
    }
    free(t);
}

/* Under the lock; its file is gone from the directory, whoever has it open goes on. */
static void unlink_job(struct vault_transfers *all, struct transfer *t)
{
    struct transfer **at = &all->list;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    unlink(t->path);
    atomic_store(&t->dropped, true);
    unref(t);
}

static struct transfer *find(struct vault_transfers *all, const char *vault_name, const char *id)
{
    struct transfer *t = all->list;
    while (t && (strcmp(t->info.id, id) != 0 || strcasecmp(t->info.vault, vault_name) != 0))
        t = t->next;
    return t;
}

/** Makes room for one more: the oldest that nothing works on goes. */
static bool make_room(struct vault_transfers *all)
{
    struct transfer *oldest = NULL;
    unsigned count = 0;
    for (struct transfer *t = all->list; t; t = t->next) {
        count++;
        if (t != all->running)
            oldest = t; /* the list is newest first */
    }
    if (count < JOBS_MAX)
        return true;
    if (oldest)
        unlink_job(all, oldest);
    return oldest != NULL;
}

static kw_status add_job(struct vault_transfers *all, enum vault_transfer_kind kind,
                         const char *vault_name, struct transfer **out)
{
    uint8_t id[KW_KEY_ID_LEN];
    size_t vault_len = strlen(vault_name);
    if (vault_len == 0 || vault_len > STORE_VAULT_MAX)
        return KW_E_INPUT;
    if (!make_room(all))
        return KW_E_BUSY;
    KW_TRY(kw_random(id, sizeof id));
    struct transfer *t = calloc(1, sizeof *t);
    if (!t)
        return KW_E_NOMEM;
    vault_version_text(t->info.id, id);
    memcpy(t->info.vault, vault_name, vault_len + 1);
    t->info.kind = kind;
    t->info.started = kw_wall_s();
    t->all = all;
    t->refs = 1;
    snprintf(t->path, sizeof t->path, "%s/%s.kwar", all->dir, t->info.id);
    t->fd = open(t->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (t->fd < 0) {
        free(t);
        return errno == ENOSPC || errno == EDQUOT ? KW_E_TOO_LARGE : KW_E_IO;
    }
    t->next = all->list;
    all->list = t;
    *out = t;
    return KW_OK;
}

/* --- the thread --- */

/** What the watcher is told, taken under the lock; NULL: nobody watches, or memory is short. */
static struct vault_transfer_info *news_of(const struct transfer *t)
{
    struct vault_transfer_info *news = t->all->watch ? malloc(sizeof *news) : NULL;
    if (news)
        *news = t->info;
    return news;
}

/** Without the lock: who watches may take its time. */
static void tell(struct vault_transfers *all, struct vault_transfer_info *news)
{
    if (news)
        all->watch(all->watch_ctx, news);
    free(news);
}

static void tell_begin(struct transfer *t)
{
    pthread_mutex_lock(&t->all->lock);
    struct vault_transfer_info *news = news_of(t);
    pthread_mutex_unlock(&t->all->lock);
    tell(t->all, news);
}

static const char *why_ended(kw_status status, bool gave_way)
{
    if (gave_way)
        return "it gave way to a job that was asked for";
    return status == KW_E_UNAVAILABLE ? "the gateway ends, or its store takes no changes now"
                                      : "it failed";
}

static void finish(struct transfer *t, kw_status status)
{
    struct vault_transfers *all = t->all;
    pthread_mutex_lock(&all->lock);
    struct vault_transfer_info *info = &t->info;
    info->gave_way = info->gave_way && status != KW_OK;
    if (status != KW_OK && (info->message[0] == '\0' || info->gave_way))
        snprintf(info->message, sizeof info->message, "%s (%s)", why_ended(status, info->gave_way),
                 kw_status_name(status));
    info->status = status;
    info->ended = kw_wall_s();
    info->state = status == KW_OK ? VAULT_TRANSFER_SUCCEEDED : VAULT_TRANSFER_FAILED;
    all->running = NULL;
    struct vault_transfer_info *news = news_of(t);
    /* the call's memory stays while an answer may still come: see transfer_call */
    unref(t);
    pthread_mutex_unlock(&all->lock);
    tell(all, news);
}

static void *run(void *arg)
{
    struct transfer *t = arg;
    pthread_setname_np(pthread_self(), "transfer");
    /* of this thread alone, as Linux has it: crypto goes first */
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
    if (t->terms)
        transfer_full_name(t);
    tell_begin(t);
    if (t->info.kind == VAULT_EXPORT)
        finish(t, transfer_export(t));
    else if (t->info.kind == VAULT_IMPORT || t->info.kind == VAULT_VERIFY)
        finish(t, transfer_import(t));
    else
        finish(t, transfer_full(t));
    return NULL;
}

/* Under the lock. */
static kw_status start(struct vault_transfers *all, struct transfer *t, struct gw_loop *loop)
{
    sigset_t every, before;
    if (all->has_thread)
        pthread_join(all->thread, NULL); /* its job has ended: it is at its last line */
    all->has_thread = false;
    t->loop = loop;
    t->refs++;
    all->running = t;
    t->info.state = VAULT_TRANSFER_RUNNING;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before); /* signals are the main thread's business */
    all->has_thread = pthread_create(&all->thread, NULL, run, t) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (all->has_thread)
        return KW_OK;
    all->running = NULL;
    t->refs--;
    t->info.state = VAULT_TRANSFER_RECEIVING;
    return KW_E_NOMEM;
}

kw_status transfer_begin(struct vault_transfers *all, struct gw_loop *loop, const char *vault_name,
                         enum vault_transfer_kind kind, struct vault_full_terms *terms,
                         struct vault_transfer_info *info)
{
    struct transfer *t = NULL;
    pthread_mutex_lock(&all->lock);
    kw_status status = all->running ? KW_E_CONFLICT : KW_OK;
    if (status == KW_OK)
        status = add_job(all, kind, vault_name, &t);
    if (status == KW_OK) {
        t->terms = terms;
        t->info.scheduled = terms && terms->scheduled;
        terms = NULL;
        status = start(all, t, loop);
    }
    if (status == KW_OK)
        *info = t->info;
    else if (t)
        unlink_job(all, t);
    pthread_mutex_unlock(&all->lock);
    if (terms) {
        kw_wipe(terms, sizeof *terms);
        free(terms);
    }
    return status;
}

void transfer_clear_way(struct vault_transfers *all)
{
    const struct timespec step = {.tv_nsec = 20000000};
    bool waits = true;
    for (unsigned i = 0; i < CLEAR_STEPS && waits; i++) {
        pthread_mutex_lock(&all->lock);
        waits = all->running && all->running->info.scheduled;
        if (waits) {
            all->running->info.gave_way = true;
            atomic_store(&all->running->dropped, true);
        }
        pthread_mutex_unlock(&all->lock);
        if (waits)
            nanosleep(&step, NULL);
    }
}

bool vault_transfers_busy(struct vault_transfers *all)
{
    pthread_mutex_lock(&all->lock);
    bool busy = all->running != NULL;
    pthread_mutex_unlock(&all->lock);
    return busy;
}

void vault_transfers_watch(struct vault_transfers *all, vault_transfer_watch_fn *watch, void *ctx)
{
    all->watch = watch;
    all->watch_ctx = ctx;
}

kw_status vault_export_start(struct vault_transfers *all, struct gw_loop *loop,
                             const char *vault_name, struct vault_transfer_info *info)
{
    return transfer_begin(all, loop, vault_name, VAULT_EXPORT, NULL, info);
}

kw_status vault_import_start(struct vault_transfers *all, const char *vault_name, bool verify_only,
                             struct vault_transfer_info *info)
{
    struct transfer *t = NULL;
    pthread_mutex_lock(&all->lock);
    kw_status status = add_job(all, verify_only ? VAULT_VERIFY : VAULT_IMPORT, vault_name, &t);
    if (status == KW_OK)
        *info = t->info;
    pthread_mutex_unlock(&all->lock);
    return status;
}

kw_status vault_import_commit(struct vault_transfers *all, struct gw_loop *loop,
                              const char *vault_name, const char *id,
                              struct vault_transfer_info *info)
{
    pthread_mutex_lock(&all->lock);
    struct transfer *t = find(all, vault_name, id);
    kw_status status = t ? KW_OK : KW_E_NOT_FOUND;
    if (t && (all->running || t->info.state != VAULT_TRANSFER_RECEIVING))
        status = KW_E_CONFLICT;
    if (status == KW_OK)
        status = start(all, t, loop);
    if (status == KW_OK)
        *info = t->info;
    pthread_mutex_unlock(&all->lock);
    return status;
}

kw_status vault_transfer_get(struct vault_transfers *all, const char *vault_name, const char *id,
                             struct vault_transfer_info *info)
{
    pthread_mutex_lock(&all->lock);
    struct transfer *t = find(all, vault_name, id);
    if (t)
        *info = t->info;
    pthread_mutex_unlock(&all->lock);
    return t ? KW_OK : KW_E_NOT_FOUND;
}

kw_status vault_transfer_drop(struct vault_transfers *all, const char *vault_name, const char *id)
{
    pthread_mutex_lock(&all->lock);
    struct transfer *t = find(all, vault_name, id);
    if (t)
        unlink_job(all, t);
    pthread_mutex_unlock(&all->lock);
    return t ? KW_OK : KW_E_NOT_FOUND;
}

/* --- the file --- */

/** Takes a reference for work without the lock. */
static struct transfer *hold(struct vault_transfers *all, const char *vault_name, const char *id,
                             struct vault_transfer_info *info)
{
    pthread_mutex_lock(&all->lock);
    struct transfer *t = find(all, vault_name, id);
    if (t) {
        t->refs++;
        *info = t->info;
    }
    pthread_mutex_unlock(&all->lock);
    return t;
}

static void let_go(struct transfer *t)
{
    struct vault_transfers *all = t->all;
    pthread_mutex_lock(&all->lock);
    unref(t);
    pthread_mutex_unlock(&all->lock);
}

kw_status vault_export_read(struct vault_transfers *all, const char *vault_name, const char *id,
                            uint64_t offset, uint8_t *out, size_t len, size_t *got)
{
    struct vault_transfer_info info;
    struct transfer *t = hold(all, vault_name, id, &info);
    kw_status status = t && info.kind == VAULT_EXPORT ? KW_OK : KW_E_NOT_FOUND;
    *got = 0;
    if (status == KW_OK && offset > info.size)
        status = KW_E_INPUT;
    if (status == KW_OK && len > info.size - offset)
        len = (size_t)(info.size - offset);
    while (status == KW_OK && *got < len) {
        ssize_t n = pread(t->fd, out + *got, len - *got, (off_t)(offset + *got));
        if (n > 0)
            *got += (size_t)n;
        else if (n == 0 || errno != EINTR)
            status = KW_E_IO;
    }
    if (t)
        let_go(t);
    return status;
}

static kw_status write_piece(struct transfer *t, uint64_t offset, struct kw_span piece)
{
    for (size_t done = 0; done < piece.len;) {
        ssize_t n = pwrite(t->fd, piece.data + done, piece.len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return errno == ENOSPC || errno == EDQUOT ? KW_E_TOO_LARGE : KW_E_IO;
        done += (size_t)n;
    }
    return KW_OK;
}

kw_status vault_import_write(struct vault_transfers *all, const char *vault_name, const char *id,
                             uint64_t offset, struct kw_span piece,
                             struct vault_transfer_info *info)
{
    struct transfer *t = hold(all, vault_name, id, info);
    bool takes = t && (info->kind == VAULT_IMPORT || info->kind == VAULT_VERIFY);
    kw_status status = takes ? KW_OK : KW_E_NOT_FOUND;
    if (status == KW_OK && info->state != VAULT_TRANSFER_RECEIVING)
        status = KW_E_CONFLICT;
    if (status == KW_OK && offset > info->size)
        status = KW_E_INPUT;
    if (status == KW_OK && (piece.len > VAULT_TRANSFER_PIECE || offset > UPLOAD_MAX))
        status = KW_E_TOO_LARGE;
    if (status == KW_OK)
        status = write_piece(t, offset, piece);
    if (status == KW_OK) {
        pthread_mutex_lock(&all->lock);
        if (t->info.size < offset + piece.len)
            t->info.size = offset + piece.len;
        *info = t->info;
        pthread_mutex_unlock(&all->lock);
    }
    if (t)
        let_go(t);
    return status;
}

/* --- life --- */

static bool is_spool(const char *name)
{
    size_t len = strlen(name);
    return len > 5 && strcmp(name + len - 5, ".kwar") == 0;
}

static kw_status open_dir(const char *dir)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return KW_E_IO;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (!entries) {
        if (fd >= 0)
            close(fd);
        return KW_E_IO;
    }
    struct dirent *entry;
    while ((entry = readdir(entries)))
        if (is_spool(entry->d_name))
            unlinkat(fd, entry->d_name, 0);
    closedir(entries);
    return KW_OK;
}

kw_status vault_transfers_create(struct vault_transfers **out, struct vault *vault, const char *dir,
                                 const struct vault_pace *pace, const atomic_bool *draining)
{
    struct vault_transfers *all = calloc(1, sizeof *all);
    if (!all)
        return KW_E_NOMEM;
    all->vault = vault;
    all->pace = *pace;
    all->draining = draining;
    pthread_mutex_init(&all->lock, NULL);
    kw_status status = pace->percent >= 1 && pace->percent <= 100 ? KW_OK : KW_E_INPUT;
    if (status == KW_OK && snprintf(all->dir, sizeof all->dir, "%s", dir) >= (int)sizeof all->dir)
        status = KW_E_INPUT;
    if (status == KW_OK)
        status = open_dir(all->dir);
    if (status != KW_OK) {
        vault_transfers_destroy(all);
        return status;
    }
    *out = all;
    return KW_OK;
}

void vault_transfers_stop(struct vault_transfers *all)
{
    if (!all)
        return;
    atomic_store(&all->loops_ended, true);
    if (all->has_thread)
        pthread_join(all->thread, NULL);
    all->has_thread = false;
}

void vault_transfers_destroy(struct vault_transfers *all)
{
    if (!all)
        return;
    while (all->list)
        unlink_job(all, all->list);
    pthread_mutex_destroy(&all->lock);
    free(all);
}
