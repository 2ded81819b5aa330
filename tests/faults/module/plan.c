#include "tests/faults/module/plan.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define RULES_MAX 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault_rule rules[RULES_MAX];
static unsigned rule_count;
static struct fault_settings settings;
static struct stat loaded;
static struct fault_state *state;

/** FOLDER/NAME with another ending than ".so"; from the name this module was loaded by. */
static void path_with(char *out, size_t cap, const char *ending)
{
    static const char here;
    Dl_info info;
    const char *folder = getenv("KEYWARD_FAULTS");
    if (folder == NULL || dladdr(&here, &info) == 0) {
        fprintf(stderr, "kw_fault_module: KEYWARD_FAULTS names no folder\n");
        abort();
    }
    const char *name = strrchr(info.dli_fname, '/');
    name = name != NULL ? name + 1 : info.dli_fname;
    int stem = (int)strcspn(name, ".");
    if (snprintf(out, cap, "%s/%.*s%s", folder, stem, name, ending) >= (int)cap) {
        abort();
    }
}

uint64_t fault_random(void)
{
    uint64_t number = 0;
    if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number)) {
        abort();
    }
    return number;
}

struct fault_state *fault_state(void)
{
    static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&opening);
    if (state == NULL) {
        char path[1200];
        path_with(path, sizeof(path), ".state");
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, sizeof(*state)) != 0) {
            abort();
        }
        void *room = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        if (room == MAP_FAILED) {
            abort();
        }
        state = room;
    }
    pthread_mutex_unlock(&opening);
    return state;
}

/* --- reading ------------------------------------------------------------------------------------
 * A word that is not understood ends the process: a fault that does not happen would make a test
 * pass for nothing. */

static void not_understood(const char *word)
{
    fprintf(stderr, "kw_fault_module: \"%s\" is not understood\n", word);
    abort();
}

static int one_of(const char *value, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (names[i] != NULL && strcmp(names[i], value) == 0) {
            return (int)i;
        }
    }
    not_understood(value);
    return 0;
}

static void read_word(struct fault_rule *rule, char *word)
{
    static const char *const crashes[] = {NULL, "segv", "abort", "exit", "kill"};
    static const char *const answers[] = {NULL,       "flip",   "zero",  "truncate",
                                          "lengthen", "random", "stale", "other_key"};
    static const char *const losses[] = {NULL, "sessions", "workers", "keys", "objects"};
    char *value = strchr(word, '=');
    if (value == NULL) {
        not_understood(word);
        return;
    }
    *value++ = '\0';
    unsigned long number = strtoul(value, NULL, 0);
    if (strcmp(word, "slot") == 0 && number < FAULT_SLOTS) {
        rule->slot = (unsigned)number;
    } else if (strcmp(word, "nth") == 0) {
        rule->nth = (unsigned)number;
    } else if (strcmp(word, "from") == 0) {
        rule->from = (unsigned)number;
    } else if (strcmp(word, "every") == 0) {
        rule->every = (unsigned)number;
    } else if (strcmp(word, "times") == 0) {
        rule->times = (unsigned)number;
    } else if (strcmp(word, "probability") == 0) {
        rule->probability = strtod(value, NULL);
    } else if (strcmp(word, "mechanism") == 0) {
        rule->any_mechanism = false;
        rule->mechanism = number;
    } else if (strcmp(word, "rv") == 0) {
        rule->has_rv = true;
        rule->rv = number;
    } else if (strcmp(word, "after") == 0) {
        rule->after = number != 0;
    } else if (strcmp(word, "hang") == 0) {
        rule->hang = number != 0;
    } else if (strcmp(word, "delay") == 0) {
        rule->delay_ms = (unsigned)number;
    } else if (strcmp(word, "crash") == 0) {
        rule->crash = (enum fault_crash)one_of(value, crashes, 5);
    } else if (strcmp(word, "answer") == 0) {
        rule->answer = (enum fault_answer)one_of(value, answers, 8);
    } else if (strcmp(word, "lose") == 0) {
        rule->lose = (enum fault_lose)one_of(value, losses, 5);
    } else {
        not_understood(word);
    }
}

static bool read_setting(const char *line)
{
    if (sscanf(line, "module=%1023s", settings.module) == 1 ||
        sscanf(line, "lock_after=%u", &settings.lock_after) == 1 ||
        sscanf(line, "renumber=%u", &settings.renumber) == 1) {
        return true;
    }
    if (strncmp(line, "removed=", 8) == 0) {
        settings.removed = line[8] != '0';
        return true;
    }
    return false;
}

static void read_line(char *line)
{
    line[strcspn(line, "#\n")] = '\0';
    if (line[strspn(line, " \t")] == '\0' || read_setting(line)) {
        return;
    }
    if (rule_count == RULES_MAX) {
        not_understood(line);
    }
    struct fault_rule *rule = &rules[rule_count++];
    *rule = (struct fault_rule){.probability = 1, .any_mechanism = true};
    char *rest = line, *word = strsep(&rest, " \t");
    snprintf(rule->function, sizeof(rule->function), "%s", word);
    while ((word = strsep(&rest, " \t")) != NULL) {
        if (*word != '\0') {
            read_word(rule, word);
        }
    }
}

/** The lock held. */
static void refresh(void)
{
    static char path[1200];
    struct stat info;
    if (path[0] == '\0') {
        path_with(path, sizeof(path), ".plan");
    }
    if (stat(path, &info) != 0) {
        not_understood(path);
    }
    if (info.st_ino == loaded.st_ino && info.st_size == loaded.st_size &&
        info.st_mtim.tv_sec == loaded.st_mtim.tv_sec &&
        info.st_mtim.tv_nsec == loaded.st_mtim.tv_nsec) {
        return;
    }
    FILE *file = fopen(path, "re");
    char line[1024];
    if (file == NULL) {
        return; /* replaced at this moment */
    }
    rule_count = 0;
    memset(&settings, 0, sizeof(settings));
    while (fgets(line, sizeof(line), file) != NULL) {
        read_line(line);
    }
    fclose(file);
    loaded = info;
}

/* --- matching --- */

static bool chosen(struct fault_rule *rule)
{
    rule->seen++;
    if ((rule->nth != 0 && rule->seen != rule->nth) || rule->seen < rule->from ||
        (rule->every != 0 && rule->seen % rule->every != 0)) {
        return false;
    }
    if (rule->probability < 1 &&
        (double)(fault_random() >> 11) / (double)(1ULL << 53) >= rule->probability) {
        return false;
    }
    _Atomic uint32_t *fired = &fault_state()->fired[rule->slot];
    uint32_t was = atomic_fetch_add(fired, 1);
    if (rule->times != 0 && was >= rule->times) {
        atomic_fetch_sub(fired, 1);
        return false;
    }
    return true;
}

void fault_look_up(const char *function, CK_MECHANISM_TYPE mechanism, struct fault *out)
{
    memset(out, 0, sizeof(*out));
    pthread_mutex_lock(&lock);
    refresh();
    for (unsigned i = 0; i < rule_count; i++) {
        struct fault_rule *rule = &rules[i];
        if ((strcmp(rule->function, "*") != 0 && strcmp(rule->function, function) != 0) ||
            (!rule->any_mechanism && rule->mechanism != mechanism) || !chosen(rule)) {
            continue;
        }
        out->delay_ms += rule->delay_ms;
        out->hang = out->hang || rule->hang;
        out->after = out->after || rule->after;
        out->crash = rule->crash != CRASH_NONE ? rule->crash : out->crash;
        out->answer = rule->answer != ANSWER_RIGHT ? rule->answer : out->answer;
        out->lose = rule->lose != LOSE_NONE ? rule->lose : out->lose;
        if (rule->has_rv) {
            out->has_rv = true;
            out->rv = rule->rv;
        }
    }
    pthread_mutex_unlock(&lock);
}

void fault_settings_now(struct fault_settings *out)
{
    pthread_mutex_lock(&lock);
    refresh();
    *out = settings;
    pthread_mutex_unlock(&lock);
}
