#include "net.h"

void sb_net_free(struct sb_net **net)
{
    if (*net)
        (*net)->ops->free(*net);
    *net = NULL;
}

int sb_net_send_all(struct sb_net *net, struct sb_outbox *outbox, struct sb_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < outbox->count && rc == 0; i++)
        rc = sb_net_send(net, outbox->items[i].peer, &outbox->items[i].msg, err);
    sb_outbox_clear(outbox);
    return rc;
}
