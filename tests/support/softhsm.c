#include "tests/support/softhsm.h"

#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

bool softhsm_write(const struct softhsm *hsm, const char *name, const char *text, char path[128])
{
    snprintf(path, 128, "%s/%s", hsm->dir, name);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    return close(fd) == 0 && ok;
}

bool softhsm_start(struct softhsm *hsm)
{
    char text[256], path[128], tokens[96];
    if (access(SOFTHSM_MODULE, R_OK) != 0) {
        return false;
    }
    snprintf(hsm->dir, sizeof(hsm->dir), "/tmp/keyward-softhsm-XXXXXX");
    if (mkdtemp(hsm->dir) == NULL) {
        return false;
    }
    snprintf(hsm->state, sizeof(hsm->state), "%s/state", hsm->dir);
    snprintf(tokens, sizeof(tokens), "%s/tokens", hsm->dir);
    snprintf(text, sizeof(text),
             "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens);
    return mkdir(hsm->state, 0700) == 0 && mkdir(tokens, 0700) == 0 &&
           softhsm_write(hsm, "softhsm2.conf", text, path) && setenv("SOFTHSM2_CONF", path, 1) == 0;
}

bool softhsm_add_token(const struct softhsm *hsm, const char *label, const char *pin)
{
    (void)hsm; /* the store is the one that SOFTHSM2_CONF names */
    char *argv[] = {(char *)"softhsm2-util",
                    (char *)"--init-token",
                    (char *)"--free",
                    (char *)"--label",
                    (char *)label,
                    (char *)"--so-pin",
                    (char *)"87654321",
                    (char *)"--pin",
                    (char *)pin,
                    NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int failed = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return failed == 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

void softhsm_stop(struct softhsm *hsm)
{
    if (hsm->dir[0] != '\0') {
        nftw(hsm->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        hsm->dir[0] = '\0';
    }
}
