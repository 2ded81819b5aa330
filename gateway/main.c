#include "gateway/cli/cli.h"

/* Read by jemalloc when it starts: few arenas, and memory that is no longer used goes back soon.
 * Put in the program so that no environment is needed. */
extern const char *malloc_conf;
__attribute__((visibility("default"))) const char *malloc_conf =
    "narenas:4,tcache_max:8192,dirty_decay_ms:1000,muzzy_decay_ms:0";

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
