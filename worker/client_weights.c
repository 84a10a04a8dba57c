#include "client_core.h"

#include <string.h>

/* rows NULL: the whole part. */
static void want(struct sb_client *client, uint64_t now_ns, uint32_t index, uint64_t step,
                 struct sb_frame *rows, struct sb_outbox *out)
{
    struct sb_holding *holding = &client->holdings[index];
    Sb__Head head = SB__HEAD__INIT;
    Sb__Want body = SB__WANT__INIT;
    body.rows = rows != NULL;
    head.step = step;
    head.part = index;
    head.body_case = SB__HEAD__BODY_WANT;
    head.want = &body;
    holding->want_step = step;
    sb_retry_start(&holding->want, now_ns, client->parts.parts[index].owner,
                   sb_client_make(client, &head, rows, NULL), out);
}

void sb_client_want_whole(struct sb_client *client, uint64_t now_ns, uint64_t step,
                          struct sb_outbox *out)
{
    for (uint32_t i = 0; i < client->parts.count; i++) {
        const struct sb_part *part = &client->parts.parts[i];
        const struct sb_holding *holding = &client->holdings[i];
        bool here = holding->whole && (!part->trainable || holding->step >= step);
        bool asked = holding->want.msg && (!part->trainable || holding->want_step >= step);
        if (!sb_client_by_rows(part) && !here && !asked)
            want(client, now_ns, i, step, NULL, out);
    }
}

/*
 * Writes what came.  While the first weights are still being sent from this memory nothing may
 * change in it; but then what comes back is what is there.
 */
static bool write_weights(struct sb_client *client, float *to, const float *from, size_t count)
{
    if (client->seeds && sb_loan_in_use(client->seeds->loan))
        return memcmp(to, from, count * sizeof(float)) == 0;
    memcpy(to, from, count * sizeof(float));
    return true;
}

static bool take_rows(struct sb_client *client, const struct sb_part *part,
                      const struct sb_msg *asked, const struct sb_msg *msg)
{
    const struct sb_frame *values = msg->frames[0], *rows = msg->frames[1];
    /* An answer to an earlier want of this part names other rows. */
    if (asked->frame_count != 1 || rows->bytes != asked->frames[0]->bytes ||
        memcmp(rows->data, asked->frames[0]->data, rows->bytes) != 0 ||
        values->bytes != rows->bytes * part->cols)
        return false;
    const uint32_t *numbers = asked->frames[0]->data;
    float *weights = client->options.weights + part->offset;
    for (size_t i = 0; i < rows->bytes / sizeof(*numbers); i++)
        if (!write_weights(client, weights + (size_t)numbers[i] * part->cols,
                           (const float *)values->data + i * part->cols, part->cols))
            return false;
    return true;
}

bool sb_client_take_weights(struct sb_client *client, uint64_t now_ns, uint64_t peer,
                            const Sb__Head *head, const struct sb_msg *msg)
{
    if (head->part >= client->parts.count || client->parts.parts[head->part].owner != peer)
        return false;
    const struct sb_part *part = &client->parts.parts[head->part];
    struct sb_holding *holding = &client->holdings[head->part];
    if (!holding->want.msg || (part->trainable && head->step < holding->want_step))
        return false;
    if (head->weights->rows) {
        if (!take_rows(client, part, holding->want.msg, msg))
            return false;
        sb_frame_drop(&holding->rows);
        holding->rows = sb_frame_keep(holding->want.msg->frames[0]);
        holding->rows_here = true;
        holding->whole = false;
    } else {
        if (holding->want.msg->frame_count ||
            msg->frames[0]->bytes != part->count * sizeof(float) ||
            !write_weights(client, client->options.weights + part->offset, msg->frames[0]->data,
                           part->count))
            return false;
        sb_frame_drop(&holding->rows);
        holding->whole = true;
    }
    holding->step = head->step;
    sb_retry_end(&holding->want);
    client->heard_ns[peer] = now_ns;
    client->counters.want_bytes += sb_msg_bytes(msg);
    return true;
}

/* The row of the tensor at which a row-sparse part begins. */
static uint32_t first_row(const struct sb_client *client, const struct sb_part *part)
{
    return (uint32_t)((part->offset - client->parts.spans[part->first_span].offset) / part->cols);
}

struct sb_frame *sb_client_rows_inside(const struct sb_client *client, const struct sb_part *part,
                                       const uint32_t *rows, size_t row_count, size_t *at)
{
    uint32_t first = first_row(client, part);
    while (*at < row_count && rows[*at] < first)
        ++*at;
    size_t end = *at;
    while (end < row_count && rows[end] - first < part->rows)
        end++;
    if (end == *at)
        return NULL;
    struct sb_frame *frame = sb_frame_new((end - *at) * sizeof(*rows));
    uint32_t *numbers = frame->data;
    for (size_t i = *at; i < end; i++)
        numbers[i - *at] = rows[i] - first;
    return frame;
}

void sb_client_check_rows(const struct sb_client *client, const uint32_t *rows, size_t row_count)
{
    if (!row_count)
        return;
    sb_assert(client->sparse_span != UINT32_MAX);
    for (size_t i = 1; i < row_count; i++)
        sb_assert(rows[i - 1] < rows[i]);
    sb_assert(rows[row_count - 1] < client->parts.spans[client->sparse_span].rows);
}

bool sb_client_needs_rows(const struct sb_client *client, const struct sb_work **work)
{
    bool needs = client->state == SB_CLIENT_WAITING && client->has_work && client->asks_rows;
    if (work)
        *work = needs ? client->work : NULL;
    return needs;
}

/* Vectors that were published and nodes of the same slots read the same rows: they are here. */
static bool same_rows(const struct sb_holding *holding, uint64_t step,
                      const struct sb_frame *numbers)
{
    return holding->rows && holding->step == step && holding->rows->bytes == numbers->bytes &&
           !memcmp(holding->rows->data, numbers->data, numbers->bytes);
}

void sb_client_want_rows(struct sb_client *client, uint64_t now_ns, const uint32_t *rows,
                         size_t row_count, struct sb_outbox *out)
{
    if (!sb_client_needs_rows(client, NULL))
        return;
    sb_client_check_rows(client, rows, row_count);
    client->asks_rows = false;
    size_t at = 0;
    for (uint32_t i = 0; i < client->parts.count; i++) {
        if (!sb_client_by_rows(&client->parts.parts[i]))
            continue;
        struct sb_holding *holding = &client->holdings[i];
        struct sb_frame *numbers =
            sb_client_rows_inside(client, &client->parts.parts[i], rows, row_count, &at);
        sb_retry_end(&holding->want);
        holding->rows_needed = numbers != NULL;
        holding->rows_here = numbers && same_rows(holding, client->work->step, numbers);
        if (numbers && !holding->rows_here)
            want(client, now_ns, i, client->work->step, numbers, out);
        sb_frame_drop(&numbers);
    }
    sb_client_advance(client, now_ns, out);
}

bool sb_client_fetch_all(struct sb_client *client, uint64_t now_ns, struct sb_outbox *out)
{
    if (client->state != SB_CLIENT_FINISH || !client->welcome)
        return false;
    bool complete = true;
    for (uint32_t i = 0; i < client->parts.count; i++) {
        const struct sb_part *part = &client->parts.parts[i];
        struct sb_holding *holding = &client->holdings[i];
        if (holding->whole && (!part->trainable || holding->step >= client->finish_step))
            continue;
        complete = false;
        if (!holding->want.msg)
            want(client, now_ns, i, client->finish_step, NULL, out);
    }
    return complete;
}
