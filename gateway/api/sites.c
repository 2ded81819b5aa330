#include "gateway/api/sites.h"
#include "gateway/vault/lifecycle.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The terms of one vault and the host names that select it, as one file said them. Never changed
 * once it is in place: new terms take its place, and requests that have it go on with it. */
struct terms {
    struct terms *before;
    struct gw_site site;
    char **hosts;
    size_t host_count;
};

/* One vault. Entries are added, never moved or taken away. */
struct entry {
    char name[STORE_VAULT_MAX + 1];
    struct terms *terms;
    struct terms *next; /* of a reload, until all are there */
    bool listed;        /* in the file as it was last read, or made by its name */
    enum gw_site_change change;
};

struct gw_sites {
    pthread_rwlock_t lock; /* over count and entries */
    size_t count;
    struct entry *entries[GW_SITES_MAX];
    struct vault *vault;
    bool dev;
};

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool equal(struct kw_span text, const char *name)
{
    if (text.len != strlen(name))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (fold((char)text.data[i]) != fold(name[i]))
            return false;
    }
    return true;
}

static void terms_free(struct terms *terms)
{
    for (size_t i = 0; terms && i < terms->host_count; i++)
        free(terms->hosts[i]);
    if (terms)
        free(terms->hosts);
    free(terms);
}

static void entry_free(struct entry *entry)
{
    while (entry->terms) {
        struct terms *before = entry->terms->before;
        terms_free(entry->terms);
        entry->terms = before;
    }
    terms_free(entry->next);
    free(entry);
}

static bool copy_hosts(struct terms *terms, const struct gw_vault_config *config)
{
    terms->hosts = calloc(config->host_count + 1, sizeof *terms->hosts);
    for (size_t i = 0; terms->hosts && i < config->host_count; i++) {
        terms->hosts[i] = strdup(config->hosts[i]);
        if (!terms->hosts[i])
            return false;
        terms->host_count++;
    }
    return terms->hosts != NULL;
}

/* `config` NULL: the default vault, or one made by its name. NULL when memory is short. */
static struct terms *terms_create(const struct gw_sites *sites, const struct entry *entry,
                                  const struct gw_vault_config *config, unsigned scope)
{
    struct terms *terms = calloc(1, sizeof *terms);
    struct vault_roles *roles = vault_roles_of(sites->vault, entry->name);
    if (!terms || !roles || (config && !copy_hosts(terms, config))) {
        terms_free(terms);
        return NULL;
    }
    terms->site = (struct gw_site){
        .name = entry->name,
        .vault = sites->vault,
        .roles = roles,
        .managed_hsm = config && config->type == GW_VAULT_HSM,
        .key_vault = config && config->type == GW_VAULT_KEYS,
        .retention_days = config ? config->retention_days : VAULT_RETENTION_DEFAULT,
        .scope = scope,
        .purge_protection = config && config->purge_protection,
    };
    return terms;
}

/* Outside of the list. NULL without memory. */
static struct entry *entry_create(const struct gw_sites *sites, struct kw_span name,
                                  const struct gw_vault_config *config, unsigned scope)
{
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry || name.len >= sizeof entry->name) {
        free(entry);
        return NULL;
    }
    for (size_t i = 0; i < name.len; i++)
        entry->name[i] = fold((char)name.data[i]);
    entry->listed = true;
    entry->terms = terms_create(sites, entry, config, scope);
    if (!entry->terms) {
        free(entry);
        return NULL;
    }
    return entry;
}

/* Appends; the caller holds the lock, or is alone. NULL without room. */
static struct entry *add(struct gw_sites *sites, struct kw_span name,
                         const struct gw_vault_config *config)
{
    struct entry *entry = NULL;
    if (sites->count < GW_SITES_MAX)
        entry = entry_create(sites, name, config, config ? config->scope : 0);
    if (entry)
        sites->entries[sites->count++] = entry;
    return entry;
}

/* vault_scope_fn */
static unsigned scope_of(void *ctx, const char *vault_name)
{
    const struct gw_site *site = gw_sites_named(ctx, kw_span_str(vault_name));
    return site ? site->scope : 0;
}

struct gw_sites *gw_sites_create(const struct gw_config *config, struct vault *vault)
{
    struct gw_sites *sites = calloc(1, sizeof *sites);
    if (!sites)
        return NULL;
    sites->vault = vault;
    sites->dev = config->dev;
    pthread_rwlock_init(&sites->lock, NULL);
    const struct gw_vault_config *first = gw_config_vault(config, GW_DEFAULT_VAULT);
    bool ok = add(sites, kw_span_str(GW_DEFAULT_VAULT), first);
    for (size_t i = 0; ok && i < config->vault_count; i++) {
        if (&config->vaults[i] != first)
            ok = add(sites, kw_span_str(config->vaults[i].name), &config->vaults[i]);
    }
    if (!ok) {
        gw_sites_destroy(sites);
        return NULL;
    }
    vault_set_scopes(vault, scope_of, sites);
    return sites;
}

void gw_sites_destroy(struct gw_sites *sites)
{
    if (!sites)
        return;
    for (size_t i = 0; i < sites->count; i++)
        entry_free(sites->entries[i]);
    pthread_rwlock_destroy(&sites->lock);
    free(sites);
}

static bool has_host(const struct terms *terms, struct kw_span host)
{
    for (size_t i = 0; i < terms->host_count; i++) {
        if (equal(host, terms->hosts[i]))
            return true;
    }
    return false;
}

/* The caller holds the lock. What the file gave to another vault goes there; the other names of a
 * vault that was taken out stay its own. */
static struct entry *by_host(const struct gw_sites *sites, struct kw_span host)
{
    struct entry *left = NULL;
    for (size_t i = 0; i < sites->count; i++) {
        if (!has_host(sites->entries[i]->terms, host))
            continue;
        if (sites->entries[i]->listed)
            return sites->entries[i];
        left = sites->entries[i];
    }
    return left;
}

static struct entry *by_name(const struct gw_sites *sites, struct kw_span name)
{
    for (size_t i = 0; i < sites->count; i++) {
        if (equal(name, sites->entries[i]->name))
            return sites->entries[i];
    }
    return NULL;
}

/* The host without its port and the dot of the root; what is in brackets is an address. */
static struct kw_span host_of(struct kw_span authority)
{
    const uint8_t *colon = authority.len ? memrchr(authority.data, ':', authority.len) : NULL;
    if (colon && authority.data[0] != '[')
        authority.len = (size_t)(colon - authority.data);
    if (authority.len > 1 && authority.data[authority.len - 1] == '.')
        authority.len--;
    return authority;
}

/* Cuts ".localhost" off; false when the host does not end so. */
static bool local_name(struct kw_span host, struct kw_span *name)
{
    static const char suffix[] = ".localhost";
    size_t len = sizeof suffix - 1;
    if (host.len <= len || !equal(kw_span_of(host.data + host.len - len, len), suffix))
        return false;
    *name = kw_span_of(host.data, host.len - len);
    return true;
}

/* The terms of now; the caller holds the lock. */
static const struct gw_site *site_of(const struct entry *entry)
{
    return entry ? &entry->terms->site : NULL;
}

const struct gw_site *gw_sites_named(struct gw_sites *sites, struct kw_span name)
{
    pthread_rwlock_rdlock(&sites->lock);
    const struct gw_site *site = site_of(by_name(sites, name));
    pthread_rwlock_unlock(&sites->lock);
    return site;
}

static const struct gw_site *make(struct gw_sites *sites, struct kw_span name)
{
    if (!sites->dev || !gw_vault_name_ok(name))
        return NULL;
    pthread_rwlock_wrlock(&sites->lock);
    struct entry *entry = by_name(sites, name); /* another loop may have been faster */
    if (!entry)
        entry = add(sites, name, NULL);
    const struct gw_site *site = site_of(entry);
    pthread_rwlock_unlock(&sites->lock);
    return site;
}

const struct gw_site *gw_sites_find(struct gw_sites *sites, struct kw_span authority)
{
    struct kw_span host = host_of(authority), name;
    if (local_name(host, &name)) {
        const struct gw_site *site = gw_sites_named(sites, name);
        return site ? site : make(sites, name);
    }
    pthread_rwlock_rdlock(&sites->lock);
    struct entry *entry = by_host(sites, host);
    if (!entry)
        entry = sites->entries[0];
    const struct gw_site *site = site_of(entry);
    pthread_rwlock_unlock(&sites->lock);
    return site;
}

const struct gw_site *gw_sites_at(struct gw_sites *sites, size_t index)
{
    pthread_rwlock_rdlock(&sites->lock);
    const struct gw_site *site = index < sites->count ? site_of(sites->entries[index]) : NULL;
    pthread_rwlock_unlock(&sites->lock);
    return site;
}

/* --- a file that was read again --- */

static bool same_terms(const struct terms *a, const struct terms *b)
{
    const struct gw_site *x = &a->site, *y = &b->site;
    if (a->host_count != b->host_count || x->managed_hsm != y->managed_hsm ||
        x->key_vault != y->key_vault || x->retention_days != y->retention_days ||
        x->purge_protection != y->purge_protection)
        return false;
    for (size_t i = 0; i < a->host_count; i++) {
        if (!has_host(a, kw_span_str(b->hosts[i])))
            return false;
    }
    return true;
}

struct fresh {
    struct entry *added[GW_SITES_MAX];
    size_t count;
};

/* Terms that wait beside those in place, or an entry that waits to be added. Who adds entries but a
 * reload does so for --dev alone, which has no file: what is found here stays as it is found. */
static bool prepare(struct gw_sites *sites, struct fresh *fresh, struct kw_span name,
                    const struct gw_vault_config *config)
{
    struct entry *entry = by_name(sites, name);
    if (entry) {
        entry->next = terms_create(sites, entry, config, entry->terms->site.scope);
        return entry->next != NULL;
    }
    if (config->member_count > 0)
        return true; /* its scope is given out at the start */
    if (sites->count + fresh->count < GW_SITES_MAX)
        entry = entry_create(sites, name, config, 0);
    if (entry)
        fresh->added[fresh->count++] = entry;
    return entry != NULL;
}

static bool prepare_all(struct gw_sites *sites, struct fresh *fresh, const struct gw_config *config)
{
    bool ok = prepare(sites, fresh, kw_span_str(GW_DEFAULT_VAULT),
                      gw_config_vault(config, GW_DEFAULT_VAULT));
    for (size_t i = 0; ok && i < config->vault_count; i++) {
        if (strcasecmp(config->vaults[i].name, GW_DEFAULT_VAULT) != 0)
            ok = prepare(sites, fresh, kw_span_str(config->vaults[i].name), &config->vaults[i]);
    }
    return ok;
}

/* The caller holds the lock. */
static void replace(struct entry *entry)
{
    struct terms *next = entry->next;
    entry->next = NULL;
    entry->listed = next != NULL;
    entry->change = next ? GW_SITE_SAME : GW_SITE_LEFT;
    if (!next)
        return;
    if (same_terms(entry->terms, next)) {
        terms_free(next);
        return;
    }
    next->before = entry->terms; /* requests may still read it: kept to the end */
    entry->terms = next;
    entry->change = GW_SITE_CHANGED;
}

kw_status gw_sites_reload(struct gw_sites *sites, const struct gw_config *config,
                          gw_sites_note_fn *note, void *ctx)
{
    struct fresh *fresh = calloc(1, sizeof *fresh);
    bool ok = fresh && prepare_all(sites, fresh, config);
    pthread_rwlock_wrlock(&sites->lock); /* a host name never belongs to two, or to nobody */
    for (size_t i = 0; i < sites->count; i++) {
        struct entry *entry = sites->entries[i];
        if (ok) {
            replace(entry);
        } else {
            terms_free(entry->next);
            entry->next = NULL;
            entry->change = GW_SITE_SAME;
        }
    }
    for (size_t i = 0; fresh && i < fresh->count; i++) {
        fresh->added[i]->change = GW_SITE_ADDED;
        if (ok)
            sites->entries[sites->count++] = fresh->added[i];
        else
            entry_free(fresh->added[i]);
    }
    pthread_rwlock_unlock(&sites->lock);
    free(fresh);
    for (size_t i = 0; ok && i < sites->count; i++) {
        if (sites->entries[i]->change != GW_SITE_SAME)
            note(ctx, sites->entries[i]->name, sites->entries[i]->change);
    }
    return ok ? KW_OK : KW_E_NOMEM;
}
