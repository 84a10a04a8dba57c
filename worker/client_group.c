/* Steps whose loss compares items of all slots: vectors go out, the group of all of them comes in.
 */
#include "client_core.h"

#include <string.h>

static bool wants_group(const struct sb_client *client)
{
    return client->options.plan->vector_size && client->has_work && !client->work->eval &&
           !client->work->embed;
}

bool sb_client_group_missing(const struct sb_client *client)
{
    return wants_group(client) && !(client->group_here && client->group_step == client->work->step);
}

void sb_client_drop_group(struct sb_client *client)
{
    sb_retry_end(&client->group_want);
    sb_frame_drop(&client->group);
    client->group_here = false;
}

void sb_client_want_group(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
    if (!sb_client_group_missing(client))
        return;
    sb_client_drop_group(client);
    Sb__Head head = SB__HEAD__INIT;
    Sb__GroupWant body = SB__GROUP_WANT__INIT;
    head.step = client->group_step = client->work->step;
    head.body_case = SB__HEAD__BODY_GROUP_WANT;
    head.group_want = &body;
    sb_retry_start(&client->group_want, now_ns, SB_PEER_COORDINATOR,
                   sb_client_make(client, &head, NULL, NULL), out);
}

bool sb_client_take_group(struct sb_client *client, const Sb__Head *head, const struct sb_msg *msg)
{
    if (!client->group_want.msg || head->step != client->group_step)
        return false;
    sb_retry_end(&client->group_want);
    client->group = msg->frame_count ? sb_frame_keep(msg->frames[0]) : NULL;
    client->group_here = true;
    client->counters.want_bytes += sb_msg_bytes(msg);
    return true;
}

const float *sb_client_group(const struct sb_client *client, size_t *float_count)
{
    *float_count = client->group ? client->group->bytes / sizeof(float) : 0;
    return client->group ? client->group->data : NULL;
}
