#include "pool/budget.h"

int64_t pool_budget_limit(int64_t active, unsigned serving)
{
    int64_t floor = 3 * (int64_t)serving;
    floor = floor < 3 ? 3 : floor > 10 ? 10 : floor;
    int64_t share = active / 5;
    return share > floor ? share : floor;
}

bool pool_budget_take(_Atomic int64_t *out, int64_t active, unsigned serving)
{
    int64_t limit = pool_budget_limit(active, serving);
    if (atomic_fetch_add_explicit(out, 1, memory_order_relaxed) < limit) {
        return true;
    }
    atomic_fetch_sub_explicit(out, 1, memory_order_relaxed);
    return false;
}

void pool_budget_give(_Atomic int64_t *out)
{
    atomic_fetch_sub_explicit(out, 1, memory_order_relaxed);
}
