#include "gateway/api/keys.h"
void gw_batch_begin(struct gw_request *req)
{
    (void)req;
}
void gw_batch_piece(struct gw_request *req, struct kw_span piece)
{
    (void)req;
    (void)piece;
}
void gw_batch_end(struct gw_request *req)
{
    (void)req;
}
void gw_batch_too_large(struct gw_request *req)
{
    (void)req;
}
