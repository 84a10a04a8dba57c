#include "msg.h"

#include "arena.h"
#include "hash.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are raw little-endian numbers");

enum {
    SPANS_MAX = 4096,
    NODES_MAX = 64,
    SLOTS_MAX = 65536,
    ADDRESSES_MAX = 4096,
    EVAL_SETS_MAX = 16,
};
#define SPAN_ROWS_MAX ((uint64_t)UINT32_MAX)
#define SPAN_COLS_MAX ((uint64_t)SB_FRAME_BYTES_MAX / sizeof(float)) /* a row fits a frame */
#define SPACE_MAX     (UINT64_C(1) << 33)                            /* floats: 32 GiB */

/* ---- frames ---- */

static void free_own_memory(struct sb_frame *frame)
{
    free(frame->data);
}

struct sb_frame *sb_frame_over(void *data, size_t bytes, void (*release)(struct sb_frame *frame),
                               void *hint)
{
    struct sb_frame *frame = sb_alloc(sizeof(*frame));
    *frame = (struct sb_frame){.data = data, .bytes = bytes, .release = release, .hint = hint};
    atomic_init(&frame->references, 1);
    return frame;
}

struct sb_frame *sb_frame_new(size_t bytes)
{
    void *data = NULL;
    size_t whole = (bytes + 63) & ~(size_t)63; /* so that aligned_alloc takes it; never 0 */
    data = aligned_alloc(64, whole ? whole : 64);
    sb_assert(data);
    return sb_frame_over(data, bytes, free_own_memory, NULL);
}

struct sb_frame *sb_frame_keep(struct sb_frame *frame)
{
    atomic_fetch_add_explicit(&frame->references, 1, memory_order_relaxed);
    return frame;
}

void sb_frame_drop(struct sb_frame **frame)
{
    struct sb_frame *old = *frame;
    *frame = NULL;
    /* The last one out must see all writes of the others, as any reference count. */
    if (!old || atomic_fetch_sub_explicit(&old->references, 1, memory_order_acq_rel) != 1)
        return;
    if (old->release)
        old->release(old);
    free(old);
}

bool sb_frame_shared(const struct sb_frame *frame)
{
    return atomic_load_explicit(&frame->references, memory_order_acquire) > 1;
}

/* ---- making ---- */

uint64_t sb_msg_job(const char *canonical)
{
    return sb_hash_seeded(canonical, strlen(canonical), SB_PROTOCOL_VERSION);
}

struct sb_msg *sb_msg_new(Sb__Head *head, struct sb_frame *frame0, struct sb_frame *frame1,
                          bool checksum)
{
    sb_assert(frame0 || !frame1);
    struct sb_msg *msg = sb_calloc(1, sizeof(*msg));
    uint64_t checksums[SB_FRAMES_MAX];
    struct sb_frame *given[SB_FRAMES_MAX] = {frame0, frame1};
    for (size_t i = 0; i < SB_FRAMES_MAX && given[i]; i++) {
        sb_assert(given[i]->bytes <= SB_FRAME_BYTES_MAX);
        msg->frames[i] = sb_frame_keep(given[i]);
        msg->frame_count++;
        if (checksum)
            checksums[i] = sb_hash(given[i]->data, given[i]->bytes);
    }
    head->version = SB_PROTOCOL_VERSION;
    head->n_checksums = checksum ? msg->frame_count : 0;
    head->checksums = head->n_checksums ? checksums : NULL;
    size_t packed = sb__head__get_packed_size(head);
    msg->head_bytes = packed + SB_SEAL_BYTES;
    sb_assert(msg->head_bytes <= SB_HEAD_BYTES_MAX);
    msg->head = sb_alloc(msg->head_bytes);
    sb__head__pack(head, msg->head);
    sb_msg_seal(msg);
    head->n_checksums = 0; /* the array lives here only */
    head->checksums = NULL;
    return msg;
}

void sb_msg_seal(struct sb_msg *msg)
{
    size_t packed = msg->head_bytes - SB_SEAL_BYTES;
    uint64_t seal = sb_hash(msg->head, packed);
    memcpy(msg->head + packed, &seal, SB_SEAL_BYTES);
}

struct sb_msg *sb_msg_copy(const struct sb_msg *msg)
{
    struct sb_msg *copy = sb_calloc(1, sizeof(*copy));
    copy->head = sb_alloc(msg->head_bytes);
    memcpy(copy->head, msg->head, msg->head_bytes);
    copy->head_bytes = msg->head_bytes;
    copy->frame_count = msg->frame_count;
    for (size_t i = 0; i < msg->frame_count; i++)
        copy->frames[i] = sb_frame_keep(msg->frames[i]);
    return copy;
}

void sb_msg_free(struct sb_msg **msg)
{
    struct sb_msg *old = *msg;
    *msg = NULL;
    if (!old)
        return;
    for (size_t i = 0; i < old->frame_count; i++)
        sb_frame_drop(&old->frames[i]);
    free(old->head);
    free(old);
}

size_t sb_msg_bytes(const struct sb_msg *msg)
{
    size_t bytes = msg->head_bytes;
    for (size_t i = 0; i < msg->frame_count; i++)
        bytes += msg->frames[i]->bytes;
    return bytes;
}

/* ---- opening ---- */

const char *sb_msg_name(const Sb__Head *head)
{
    switch (head->body_case) {
    case SB__HEAD__BODY_HELLO:
        return "HELLO";
    case SB__HEAD__BODY_WELCOME:
        return "WELCOME";
    case SB__HEAD__BODY_START:
        return "START";
    case SB__HEAD__BODY_READY:
        return "READY";
    case SB__HEAD__BODY_REFUSE:
        return "REFUSE";
    case SB__HEAD__BODY_WORK:
        return "WORK";
    case SB__HEAD__BODY_PUSH:
        return "PUSH";
    case SB__HEAD__BODY_ACK:
        return "ACK";
    case SB__HEAD__BODY_DONE:
        return "DONE";
    case SB__HEAD__BODY_DONE_ACK:
        return "DONE_ACK";
    case SB__HEAD__BODY_WANT:
        return "WANT";
    case SB__HEAD__BODY_WEIGHTS:
        return "WEIGHTS";
    case SB__HEAD__BODY_REPORT:
        return "REPORT";
    case SB__HEAD__BODY_COMMIT:
        return "COMMIT";
    case SB__HEAD__BODY_COMMITTED:
        return "COMMITTED";
    case SB__HEAD__BODY_SAVE:
        return "SAVE";
    case SB__HEAD__BODY_SAVED:
        return "SAVED";
    case SB__HEAD__BODY_STOP:
        return "STOP";
    case SB__HEAD__BODY_FINISH:
        return "FINISH";
    case SB__HEAD__BODY_BYE:
        return "BYE";
    case SB__HEAD__BODY_GROUP_WANT:
        return "GROUP_WANT";
    case SB__HEAD__BODY_GROUP:
        return "GROUP";
    default:
        return "nothing known";
    }
}

static int refuse(struct sb_err *err, const Sb__Head *head, const char *what)
{
    return sb_err_set(err, SB_ERR_PEER, "%s message: %s", sb_msg_name(head), what);
}

static int check_layout(const Sb__Head *head, Sb__Span *const *spans, size_t count,
                        struct sb_err *err)
{
    if (count > SPANS_MAX)
        return refuse(err, head, "more than 4096 tensors");
    uint64_t floats = 0;
    for (size_t i = 0; i < count; i++) {
        const Sb__Span *span = spans[i];
        if (span->rows < 1 || span->rows > SPAN_ROWS_MAX || span->cols < 1 ||
            span->cols > SPAN_COLS_MAX)
            return refuse(err, head, "a tensor without rows or columns, or with too many");
        if (span->rows > SPACE_MAX / span->cols || floats + span->rows * span->cols > SPACE_MAX)
            return refuse(err, head, "a model of more than 2^33 numbers");
        floats += span->rows * span->cols;
    }
    return 0;
}

static int check_plan(const Sb__Head *head, const Sb__Plan *plan, struct sb_err *err)
{
    if (plan->slots < 1 || plan->slots > SLOTS_MAX || (plan->slots & (plan->slots - 1)))
        return refuse(err, head, "slots is not a power of two between 1 and 65536");
    if (plan->n_eval_sets > EVAL_SETS_MAX)
        return refuse(err, head, "more than 16 evaluation sets");
    if (plan->vector_size > SB_FRAME_BYTES_MAX / sizeof(float))
        return refuse(err, head, "a vector that does not fit a frame");
    return 0;
}

static int check_hello(const Sb__Head *head, struct sb_err *err)
{
    const Sb__Hello *hello = head->hello;
    if (hello->role != SB__ROLE__ROLE_SERVER && hello->role != SB__ROLE__ROLE_WORKER)
        return refuse(err, head, "unknown role");
    if (hello->role == SB__ROLE__ROLE_WORKER && !hello->plan)
        return refuse(err, head, "a worker without a plan");
    if (hello->plan && check_plan(head, hello->plan, err) < 0)
        return -1;
    return check_layout(head, hello->layout, hello->n_layout, err);
}

static int check_start(const Sb__Head *head, struct sb_err *err)
{
    const Sb__Start *start = head->start;
    if (start->server_count < 1 || start->server_count > ADDRESSES_MAX ||
        start->server_index >= start->server_count)
        return refuse(err, head, "a server index that is not below the number of servers");
    return check_layout(head, start->layout, start->n_layout, err);
}

static int check_welcome(const Sb__Head *head, struct sb_err *err)
{
    const Sb__Welcome *welcome = head->welcome;
    if (welcome->n_servers < 1 || welcome->n_servers > ADDRESSES_MAX)
        return refuse(err, head, "no servers, or too many");
    if (welcome->worker_index >= welcome->worker_count)
        return refuse(err, head, "a worker index that is not below the number of workers");
    return 0;
}

static bool known_kind(Sb__WorkKind kind)
{
    return kind == SB__WORK_KIND__WORK_TRAIN || kind == SB__WORK_KIND__WORK_EVAL ||
           kind == SB__WORK_KIND__WORK_EMBED;
}

static int check_work(const Sb__Head *head, struct sb_err *err)
{
    const Sb__Work *work = head->work;
    if (!known_kind(work->kind))
        return refuse(err, head, "unknown kind of work");
    if (work->n_nodes > NODES_MAX || work->n_next_nodes > NODES_MAX)
        return refuse(err, head, "more than 64 nodes");
    for (size_t i = 0; i < work->n_nodes; i++)
        if (work->nodes[i] < 1 || work->nodes[i] >= 2 * SLOTS_MAX)
            return refuse(err, head, "a node outside any tree");
    for (size_t i = 0; i < work->n_next_nodes; i++)
        if (work->next_nodes[i] < 1 || work->next_nodes[i] >= 2 * SLOTS_MAX)
            return refuse(err, head, "a node outside any tree");
    if (work->first_slot > work->end_slot)
        return refuse(err, head, "slots that end before they begin");
    return 0;
}

static int check_body(const Sb__Head *head, struct sb_err *err)
{
    switch (head->body_case) {
    case SB__HEAD__BODY_HELLO:
        return check_hello(head, err);
    case SB__HEAD__BODY_WELCOME:
        return check_welcome(head, err);
    case SB__HEAD__BODY_START:
        return check_start(head, err);
    case SB__HEAD__BODY_WORK:
        return check_work(head, err);
    case SB__HEAD__BODY_PUSH:
        if (head->push->empty && (head->push->rows || head->push->initial))
            return refuse(err, head, "empty, and yet with rows or first weights");
        return 0;
    case SB__HEAD__BODY_ACK:
        if (head->ack->answer < SB__ANSWER__ANSWER_NEW ||
            head->ack->answer > SB__ANSWER__ANSWER_BAD)
            return refuse(err, head, "unknown answer");
        return 0;
    case SB__HEAD__BODY_DONE:
        if (!known_kind(head->done->kind))
            return refuse(err, head, "unknown kind of work");
        if (head->done->kind == SB__WORK_KIND__WORK_EMBED && head->done->n_sums)
            return refuse(err, head, "sums beside vectors");
        return 0;
    case SB__HEAD__BODY_DONE_ACK:
        if (!known_kind(head->done_ack->kind))
            return refuse(err, head, "unknown kind of work");
        return 0;
    case SB__HEAD__BODY__NOT_SET:
        return sb_err_set(err, SB_ERR_PEER, "a message without a known body");
    default:
        return 0; /* nothing in the body that a check of its own would catch */
    }
}

/* The unit of a body's frames in bytes, and how many there must be. */
static int check_frames(const Sb__Head *head, const struct sb_msg *msg, struct sb_err *err)
{
    size_t least = 0, most = 0, unit = sizeof(float);
    bool may_be_empty = false;
    switch (head->body_case) {
    case SB__HEAD__BODY_PUSH:
        least = most = head->push->empty ? 0 : head->push->rows ? 2 : 1;
        break;
    case SB__HEAD__BODY_WEIGHTS:
        least = most = head->weights->rows ? 2 : 1;
        break;
    case SB__HEAD__BODY_WANT:
        least = most = head->want->rows ? 1 : 0;
        break;
    case SB__HEAD__BODY_REPORT: /* a server may own frozen parts only */
        least = most = 1;
        unit = sizeof(double);
        may_be_empty = true;
        break;
    case SB__HEAD__BODY_DONE: /* vectors, or sums that the head has no room for */
        most = 1;
        if (head->done->kind != SB__WORK_KIND__WORK_EMBED)
            unit = sizeof(double);
        break;
    case SB__HEAD__BODY_GROUP:
        most = 1;
        break;
    case SB__HEAD__BODY_FINISH: /* text */
        most = 1;
        unit = 1;
        may_be_empty = true;
        break;
    default:
        break;
    }
    if (msg->frame_count < least || msg->frame_count > most)
        return sb_err_set(err, SB_ERR_PEER, "%s message: %zu frames, expected %zu",
                          sb_msg_name(head), msg->frame_count, most);
    for (size_t i = 0; i < msg->frame_count; i++) {
        size_t bytes = msg->frames[i]->bytes;
        if (bytes % unit || (!bytes && !may_be_empty))
            return sb_err_set(err, SB_ERR_PEER, "%s message: frame %zu has %zu bytes",
                              sb_msg_name(head), i, bytes);
    }
    /* As many floats in every row. */
    if (msg->frame_count == 2 && msg->frames[0]->bytes % msg->frames[1]->bytes)
        return refuse(err, head, "values and row numbers do not belong together");
    return 0;
}

static int check_checksums(const Sb__Head *head, const struct sb_msg *msg, struct sb_err *err)
{
    if (!head->n_checksums)
        return 0;
    if (head->n_checksums != msg->frame_count)
        return refuse(err, head, "as many checksums as frames are needed");
    for (size_t i = 0; i < msg->frame_count; i++)
        if (sb_hash(msg->frames[i]->data, msg->frames[i]->bytes) != head->checksums[i])
            return sb_err_set(err, SB_ERR_PEER, "%s message: wrong checksum of frame %zu",
                              sb_msg_name(head), i);
    return 0;
}

/* The sums of a DONE that came as a frame join those of the head. */
static void join_sums(Sb__Done *done, const struct sb_frame *more)
{
    size_t count = more->bytes / sizeof(double);
    done->sums = sb_realloc(done->sums, (done->n_sums + count) * sizeof(double));
    memcpy(done->sums + done->n_sums, more->data, more->bytes);
    done->n_sums += count;
}

Sb__Head *sb_msg_open(const struct sb_msg *msg, struct sb_err *err)
{
    Sb__Head *head = NULL;
    if (msg->head_bytes <= SB_SEAL_BYTES || msg->head_bytes > SB_HEAD_BYTES_MAX ||
        msg->frame_count > SB_FRAMES_MAX) {
        sb_err_set(err, SB_ERR_PEER, "a message with a head of %zu bytes and %zu frames",
                   msg->head_bytes, msg->frame_count);
        return NULL;
    }
    for (size_t i = 0; i < msg->frame_count; i++)
        if (msg->frames[i]->bytes > SB_FRAME_BYTES_MAX) {
            sb_err_set(err, SB_ERR_PEER, "a message with a frame of %zu bytes",
                       msg->frames[i]->bytes);
            return NULL;
        }
    size_t packed = msg->head_bytes - SB_SEAL_BYTES;
    uint64_t seal;
    memcpy(&seal, msg->head + packed, SB_SEAL_BYTES);
    if (seal != sb_hash(msg->head, packed)) {
        sb_err_set(err, SB_ERR_PEER, "a message whose head is damaged, or of another program");
        return NULL;
    }
    head = sb__head__unpack(NULL, packed, msg->head);
    if (!head) {
        sb_err_set(err, SB_ERR_PEER, "a message that cannot be unpacked");
        return NULL;
    }
    if (head->version != SB_PROTOCOL_VERSION) {
        sb_err_set(err, SB_ERR_PEER, "a peer speaks protocol version %u, this program %d",
                   head->version, SB_PROTOCOL_VERSION);
        sb_msg_close(&head);
        return NULL;
    }
    if (check_body(head, err) < 0 || check_frames(head, msg, err) < 0 ||
        check_checksums(head, msg, err) < 0) {
        sb_msg_close(&head);
        return NULL;
    }
    if (head->body_case == SB__HEAD__BODY_DONE && msg->frame_count &&
        head->done->kind != SB__WORK_KIND__WORK_EMBED)
        join_sums(head->done, msg->frames[0]);
    return head;
}

void sb_msg_close(Sb__Head **head)
{
    if (*head)
        sb__head__free_unpacked(*head, NULL);
    *head = NULL;
}

/* ---- outbox ---- */

void sb_outbox_put(struct sb_outbox *outbox, uint64_t peer, struct sb_msg *msg)
{
    if (outbox->count == outbox->capacity) {
        outbox->capacity = outbox->capacity ? 2 * outbox->capacity : 16;
        outbox->items = sb_realloc(outbox->items, outbox->capacity * sizeof(*outbox->items));
    }
    outbox->items[outbox->count++] = (struct sb_out){.peer = peer, .msg = msg};
}

void sb_outbox_clear(struct sb_outbox *outbox)
{
    for (size_t i = 0; i < outbox->count; i++)
        sb_msg_free(&outbox->items[i].msg);
    outbox->count = 0;
}

void sb_outbox_release(struct sb_outbox *outbox)
{
    sb_outbox_clear(outbox);
    free(outbox->items);
    *outbox = (struct sb_outbox){0};
}
