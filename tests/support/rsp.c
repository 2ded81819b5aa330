#include "tests/support/rsp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PACKAGE "/usr/lib/python3/dist-packages/cryptography_vectors/"
#define FIELDS  24

struct kt_rsp {
    FILE *file;
    char *line;
    size_t room;
    struct {
        char name[32];
        char *value;
    } fields[FIELDS];
};

bool kt_rsp_available(void)
{
    return access(PACKAGE, R_OK) == 0;
}

struct kt_rsp *kt_rsp_open(const char *path)
{
    char full[512];
    snprintf(full, sizeof(full), PACKAGE "%s", path);
    FILE *file = fopen(full, "r");
    struct kt_rsp *rsp = file ? calloc(1, sizeof(*rsp)) : NULL;
    if (rsp) {
        rsp->file = file;
    } else if (file) {
        fclose(file);
    }
    return rsp;
}

void kt_rsp_close(struct kt_rsp *rsp)
{
    for (int i = 0; i < FIELDS; i++) {
        free(rsp->fields[i].value);
    }
    free(rsp->line);
    fclose(rsp->file);
    free(rsp);
}

static const char *set(struct kt_rsp *rsp, const char *name, const char *value)
{
    for (int i = 0; i < FIELDS; i++) {
        if (rsp->fields[i].name[0] == '\0' || strcmp(rsp->fields[i].name, name) == 0) {
            snprintf(rsp->fields[i].name, sizeof(rsp->fields[i].name), "%s", name);
            free(rsp->fields[i].value);
            rsp->fields[i].value = strdup(value);
            return rsp->fields[i].name;
        }
    }
    abort(); /* more names than a response file has */
}

static char *trimmed(char *text)
{
    while (*text == ' ' || *text == '\t') {
        text++;
    }
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n]", text[len - 1])) {
        text[--len] = '\0';
    }
    return text;
}

bool kt_rsp_next(struct kt_rsp *rsp, const char **name)
{
    while (getline(&rsp->line, &rsp->room, rsp->file) > 0) {
        char *text = trimmed(rsp->line);
        if (*text == '\0' || *text == '#') {
            continue;
        }
        char *equals = strchr(text, '=');
        if (*text == '[') {
            /* "[IVlen = 96]" also sets the field of that name */
            set(rsp, "[", text + 1);
            if (!equals) {
                *name = "[";
                return true;
            }
            text++;
        } else if (!equals) {
            *name = set(rsp, text, "1");
            return true;
        }
        *equals = '\0';
        *name = set(rsp, trimmed(text), trimmed(equals + 1));
        return true;
    }
    return false;
}

const char *kt_rsp_get(const struct kt_rsp *rsp, const char *name)
{
    for (int i = 0; i < FIELDS && rsp->fields[i].name[0] != '\0'; i++) {
        if (strcmp(rsp->fields[i].name, name) == 0) {
            return rsp->fields[i].value;
        }
    }
    return "";
}
