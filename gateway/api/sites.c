#include "gateway/api/sites.h"
#include "gateway/vault/lifecycle.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* One vault and where it is reached. Entries are added, never moved or taken away, so that a
 * request can keep the pointer. */
struct entry {
    struct gw_site site;
    char name[STORE_VAULT_MAX + 1];
    const struct gw_vault_config *config; /* NULL: the default, or made by its name */
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

/* Appends; the caller holds the lock, or is alone. NULL without room. */
static struct entry *add(struct gw_sites *sites, struct kw_span name,
                         const struct gw_vault_config *config)
{
    struct entry *entry = sites->count < GW_SITES_MAX ? calloc(1, sizeof *entry) : NULL;
    if (!entry || name.len >= sizeof entry->name) {
        free(entry);
        return NULL;
    }
    for (size_t i = 0; i < name.len; i++)
        entry->name[i] = fold((char)name.data[i]);
    struct vault_roles *roles = vault_roles_of(sites->vault, entry->name);
    if (!roles) {
        free(entry);
        return NULL;
    }
    entry->config = config;
    entry->site = (struct gw_site){
        .name = entry->name,
        .vault = sites->vault,
        .roles = roles,
        .managed_hsm = config && config->type == GW_VAULT_HSM,
        .key_vault = config && config->type == GW_VAULT_KEYS,
        .retention_days = config ? config->retention_days : VAULT_RETENTION_DEFAULT,
        .scope = config ? config->scope : 0,
        .purge_protection = config && config->purge_protection,
    };
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
    const struct gw_vault_config *first = NULL;
    for (size_t i = 0; i < config->vault_count; i++) {
        if (strcmp(config->vaults[i].name, GW_DEFAULT_VAULT) == 0)
            first = &config->vaults[i];
    }
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
        free(sites->entries[i]);
    pthread_rwlock_destroy(&sites->lock);
    free(sites);
}

static bool has_host(const struct gw_vault_config *config, struct kw_span host)
{
    for (size_t i = 0; config && i < config->host_count; i++) {
        if (equal(host, config->hosts[i]))
            return true;
    }
    return false;
}

/* The caller holds the lock. */
static struct entry *by_host(const struct gw_sites *sites, struct kw_span host)
{
    for (size_t i = 0; i < sites->count; i++) {
        if (has_host(sites->entries[i]->config, host))
            return sites->entries[i];
    }
    return NULL;
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

const struct gw_site *gw_sites_named(struct gw_sites *sites, struct kw_span name)
{
    pthread_rwlock_rdlock(&sites->lock);
    struct entry *entry = by_name(sites, name);
    pthread_rwlock_unlock(&sites->lock);
    return entry ? &entry->site : NULL;
}

static const struct gw_site *make(struct gw_sites *sites, struct kw_span name)
{
    if (!sites->dev || !gw_vault_name_ok(name))
        return NULL;
    pthread_rwlock_wrlock(&sites->lock);
    struct entry *entry = by_name(sites, name); /* another loop may have been faster */
    if (!entry)
        entry = add(sites, name, NULL);
    pthread_rwlock_unlock(&sites->lock);
    return entry ? &entry->site : NULL;
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
    pthread_rwlock_unlock(&sites->lock);
    return &entry->site;
}

const struct gw_site *gw_sites_at(struct gw_sites *sites, size_t index)
{
    pthread_rwlock_rdlock(&sites->lock);
    struct entry *entry = index < sites->count ? sites->entries[index] : NULL;
    pthread_rwlock_unlock(&sites->lock);
    return entry ? &entry->site : NULL;
}
