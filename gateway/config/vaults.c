#include "gateway/config/vaults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/config/raw.h"

bool gw_vault_name_ok(struct kw_span name)
{
    if (name.len < GW_VAULT_NAME_MIN || name.len > GW_VAULT_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '-')))
            return false;
    }
    return true;
}

/* A host name as a client sends it, without its port. */
static bool host_ok(const char *host)
{
    size_t len = strlen(host);
    return len <= 253 &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == len;
}

static bool host_taken(const struct gw_config *config, const char *host)
{
    for (size_t i = 0; i < config->vault_count; i++) {
        for (size_t j = 0; j < config->vaults[i].host_count; j++) {
            if (strcasecmp(config->vaults[i].hosts[j], host) == 0)
                return true;
        }
    }
    return false;
}

static kw_status read_hosts(struct gw_document *doc, const char *path, const struct raw_vault *raw,
                            struct gw_config *config, struct gw_vault_config *out)
{
    char field[96];
    if (raw->hosts_count == 0)
        return KW_OK;
    out->hosts = calloc(raw->hosts_count, sizeof *out->hosts);
    if (!out->hosts)
        return KW_E_NOMEM;
    for (unsigned i = 0; i < raw->hosts_count; i++) {
        snprintf(field, sizeof field, "%s.hosts[%u]", path, i);
        if (!host_ok(raw->hosts[i]))
            gw_document_problem(doc, field, "found \"%.64s\"; allowed: a host name, without a port",
                                raw->hosts[i]);
        else if (host_taken(config, raw->hosts[i]))
            gw_document_problem(doc, field,
                                "\"%.64s\" stands here twice; a host name selects one "
                                "vault",
                                raw->hosts[i]);
        out->hosts[out->host_count] = strdup(raw->hosts[i]);
        if (!out->hosts[out->host_count])
            return KW_E_NOMEM;
        out->host_count++;
    }
    return KW_OK;
}

static bool is_member(const struct gw_config *config, const char *name)
{
    for (size_t i = 0; i < config->member_count; i++) {
        if (strcmp(config->members[i].name, name) == 0)
            return true;
    }
    return false;
}

/* Its own members: the vault gets a scope of its own. */
static kw_status read_members(struct gw_document *doc, const char *path,
                              const struct raw_vault *raw, struct gw_config *config,
                              struct gw_vault_config *out)
{
    char field[96];
    unsigned scopes = 1;
    if (raw->members_count == 0)
        return KW_OK;
    for (size_t i = 0; i < config->vault_count; i++)
        scopes += config->vaults[i].scope != 0;
    if (scopes > POOL_SCOPE_MAX)
        gw_document_problem(doc, path, "at most %d vaults may have members of their own",
                            POOL_SCOPE_MAX);
    out->scope = scopes;
    out->members = calloc(raw->members_count, sizeof *out->members);
    if (!out->members)
        return KW_E_NOMEM;
    for (unsigned i = 0; i < raw->members_count; i++) {
        snprintf(field, sizeof field, "%s.members[%u]", path, i);
        if (!is_member(config, raw->members[i]))
            gw_document_problem(doc, field, "found \"%.64s\"; allowed: a name of group.members",
                                raw->members[i]);
        out->members[out->member_count] = strdup(raw->members[i]);
        if (!out->members[out->member_count])
            return KW_E_NOMEM;
        out->member_count++;
    }
    return KW_OK;
}

static kw_status read_vault(struct gw_document *doc, size_t index, const struct raw_vault *raw,
                            struct gw_config *config)
{
    char path[64], field[96];
    struct gw_vault_config *out = &config->vaults[index];
    snprintf(path, sizeof path, "vaults[%zu]", index);
    snprintf(field, sizeof field, "%s.name", path);
    if (!gw_vault_name_ok(kw_span_str(raw->name)))
        gw_document_problem(doc, field, "found \"%.64s\"; allowed: " GW_VAULT_NAME_ALLOWED,
                            raw->name);
    for (size_t i = 0; i < index; i++) {
        if (strcasecmp(config->vaults[i].name, raw->name) == 0)
            gw_document_problem(doc, field, "there are two vaults \"%.64s\"", raw->name);
    }
    out->name = strdup(raw->name);
    if (!out->name)
        return KW_E_NOMEM;
    config->vault_count = index + 1;
    out->type = raw->type == RAW_VAULT_VAULT ? GW_VAULT_KEYS
                : raw->type == RAW_VAULT_HSM ? GW_VAULT_HSM
                                             : GW_VAULT_BOTH;
    out->purge_protection = raw->purge_protection;
    out->retention_days = raw->retention_days ? *raw->retention_days : GW_RETENTION_MAX;
    snprintf(field, sizeof field, "%s.retention_days", path);
    if (out->retention_days < GW_RETENTION_MIN || out->retention_days > GW_RETENTION_MAX)
        gw_document_problem(doc, field, "found %u; allowed: %d to %d", out->retention_days,
                            GW_RETENTION_MIN, GW_RETENTION_MAX);
    KW_TRY(read_members(doc, path, raw, config, out));
    return read_hosts(doc, path, raw, config, out);
}

kw_status gw_config_vaults(struct gw_document *doc, const struct raw_config *raw,
                           struct gw_config *config)
{
    if (raw->vaults_count == 0)
        return KW_OK;
    config->vaults = calloc(raw->vaults_count, sizeof *config->vaults);
    if (!config->vaults)
        return KW_E_NOMEM;
    for (size_t i = 0; i < raw->vaults_count; i++)
        KW_TRY(read_vault(doc, i, &raw->vaults[i], config));
    if (doc->problems == 0)
        gw_config_scopes(config, config);
    return KW_OK;
}

void gw_config_scopes(struct gw_config *config, const struct gw_config *vaults_of)
{
    for (size_t i = 0; i < config->member_count; i++) {
        struct pool_member_config *member = &config->members[i];
        member->scopes = 0;
        for (size_t j = 0; j < vaults_of->vault_count; j++) {
            const struct gw_vault_config *vault = &vaults_of->vaults[j];
            for (size_t k = 0; k < vault->member_count; k++) {
                if (strcmp(vault->members[k], member->name) == 0)
                    member->scopes |= (uint64_t)1 << vault->scope;
            }
        }
    }
}

void gw_config_vault_fini(struct gw_vault_config *vault)
{
    for (size_t i = 0; i < vault->host_count; i++)
        free(vault->hosts[i]);
    free(vault->hosts);
    for (size_t i = 0; i < vault->member_count; i++)
        free(vault->members[i]);
    free(vault->members);
    free(vault->name);
}

const struct gw_vault_config *gw_config_vault(const struct gw_config *config, const char *name)
{
    for (size_t i = 0; i < config->vault_count; i++) {
        if (strcasecmp(config->vaults[i].name, name) == 0)
            return &config->vaults[i];
    }
    return NULL;
}

bool gw_config_vault_members_changed(const struct gw_config *running,
                                     const struct gw_vault_config *fresh)
{
    const struct gw_vault_config *now = gw_config_vault(running, fresh->name);
    if (fresh->member_count != (now ? now->member_count : 0))
        return true;
    for (size_t i = 0; i < fresh->member_count; i++) {
        if (strcmp(now->members[i], fresh->members[i]) != 0)
            return true;
    }
    return false;
}
