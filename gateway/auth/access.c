#include "gateway/auth/access.h"

bool gw_access_allows(const struct gw_identity *identity, const char *action, struct kw_span name)
{
    (void)action;
    (void)name;
    return identity != NULL;
}
