/* Preloaded: the wall clock runs KEYWARD_TEST_CLOCK_SHIFT seconds ahead, so that a test can come
 * back after months. The monotonic clock stays as it is. */

#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *out)
{
    static int (*real)(clockid_t, struct timespec *);
    static long shift;
    if (!real) {
        const char *text = getenv("KEYWARD_TEST_CLOCK_SHIFT");
        shift = text ? strtol(text, NULL, 10) : 0;
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    }
    int rc = real(clock, out);
    if (rc == 0 && clock == CLOCK_REALTIME)
        out->tv_sec += shift;
    return rc;
}
