#include "members.h"

#include "arena.h"
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SENTENCE_BYTES = 512, ADDRESS_BYTES = SB_MEMBERS_NAME_BYTES - 1 };

void sb_members_init(struct sb_members *members, const char *canonical, const char *fingerprint,
                     const char *name, uint32_t server_count, uint32_t worker_wanted,
                     uint32_t worker_count)
{
    *members = (struct sb_members){
        .canonical = canonical,
        .fingerprint = fingerprint,
        .name = name,
        .servers = sb_calloc(server_count, sizeof(*members->servers)),
        .server_count = server_count,
        .workers = sb_calloc(worker_count, sizeof(*members->workers)),
        .worker_count = worker_count,
        .worker_wanted = worker_wanted,
    };
}

void sb_members_release(struct sb_members *members)
{
    for (uint32_t i = 0; i < members->server_count; i++) {
        free(members->servers[i].address);
        free(members->servers[i].name);
    }
    for (uint32_t i = 0; i < members->workers_here; i++)
        free(members->workers[i].name);
    free(members->servers);
    free(members->workers);
    free(members->spans);
    if (members->plan)
        sb__plan__free_unpacked(members->plan, NULL);
    *members = (struct sb_members){0};
}

uint32_t sb_members_find_worker(const struct sb_members *members, uint64_t peer)
{
    for (uint32_t i = 0; i < members->workers_here; i++)
        if (members->workers[i].peer == peer)
            return i;
    return UINT32_MAX;
}

bool sb_members_servers_here(const struct sb_members *members)
{
    return members->servers_here == members->server_count;
}

bool sb_members_all_here(const struct sb_members *members)
{
    return sb_members_servers_here(members) && members->workers_here >= members->worker_wanted;
}

void sb_members_say_missing(const struct sb_members *members, struct sb_bytes *out)
{
    const char *comma = "";
    for (uint32_t i = 0; i < members->server_count; i++)
        if (!members->servers[i].here) {
            sb_bytes_printf(out, "%sserver %" PRIu32, comma, i);
            comma = ", ";
        }
    if (members->workers_here < members->worker_wanted)
        sb_bytes_printf(out, "%s%" PRIu32 " of %" PRIu32 " worker%s", comma,
                        members->worker_wanted - members->workers_here, members->worker_wanted,
                        members->worker_wanted == 1 ? "" : "s");
}

static size_t short_bytes(const char *name)
{
    const char *at = strstr(name, " at ");
    return at ? (size_t)(at - name) : strcspn(name, ",");
}

void sb_members_short_name(char who[SB_MEMBERS_NAME_BYTES], const struct sb_members *members,
                           uint32_t worker)
{
    const char *name = members->workers[worker].name;
    size_t bytes = short_bytes(name);
    for (uint32_t i = 0; i < members->workers_here; i++) {
        const char *other = members->workers[i].name;
        if (i != worker && short_bytes(other) == bytes && !strncmp(name, other, bytes))
            bytes = strlen(name);
    }
    snprintf(who, SB_MEMBERS_NAME_BYTES, "%.*s", (int)bytes, name);
}

/* ---- comparing ---- */

static bool say_numbers(char *sentence, size_t size, const char *what, uint64_t ours,
                        const char *name, uint64_t theirs, const char *other_name)
{
    if (ours == theirs)
        return false;
    snprintf(sentence, size, "%s: %" PRIu64 " at %s, %" PRIu64 " at %s", what, ours, name, theirs,
             other_name);
    return true;
}

static bool say_texts(char *sentence, size_t size, const char *what, const char *ours,
                      const char *name, const char *theirs, const char *other_name)
{
    if (!strcmp(ours, theirs))
        return false;
    snprintf(sentence, size, "%s: '%.100s' at %s, '%.100s' at %s", what, ours, name, theirs,
             other_name);
    return true;
}

bool sb_plan_difference(const Sb__Plan *plan, const char *name, const Sb__Plan *other,
                        const char *other_name, char *sentence, size_t size)
{
#define NUMBERS(field, what)                                                                       \
    say_numbers(sentence, size, what, plan->field, name, other->field, other_name)
#define TEXTS(field, what)                                                                         \
    say_texts(sentence, size, what, plan->field, name, other->field, other_name)
    if (NUMBERS(train_samples, "training samples") || NUMBERS(train_tokens, "training tokens") ||
        NUMBERS(steps_per_epoch, "steps of an epoch") || NUMBERS(total_steps, "steps in all") ||
        NUMBERS(slots, "slots of a step") || NUMBERS(n_labels, "labels") ||
        NUMBERS(n_eval_sets, "evaluation sets") || NUMBERS(vector_size, "numbers of a vector"))
        return true;
    for (size_t i = 0; i < plan->n_labels; i++)
        if (TEXTS(labels[i], "a label"))
            return true;
    for (size_t i = 0; i < plan->n_eval_sets; i++)
        if (TEXTS(eval_sets[i]->name, "an evaluation set") ||
            NUMBERS(eval_sets[i]->slot_count, "slots of an evaluation set") ||
            NUMBERS(eval_sets[i]->label_count, "labels of an evaluation set") ||
            NUMBERS(eval_sets[i]->problem, "kind of labels of an evaluation set") ||
            NUMBERS(eval_sets[i]->n_types, "types of an evaluation set") ||
            NUMBERS(eval_sets[i]->vector_size, "numbers of a vector") ||
            NUMBERS(eval_sets[i]->slot_rows, "texts of an evaluation slot") ||
            NUMBERS(eval_sets[i]->row_kind, "kind of rows of an evaluation set") ||
            NUMBERS(eval_sets[i]->row_count, "rows of an evaluation slot") ||
            NUMBERS(eval_sets[i]->row_width, "numbers of an evaluation row") ||
            TEXTS(eval_sets[i]->fingerprint, "content of an evaluation set"))
            return true;
    return TEXTS(data_fingerprint, "content of the training data");
#undef NUMBERS
#undef TEXTS
}

static bool same_span(const struct sb_span *span, const Sb__Span *other)
{
    return span->rows == other->rows && span->cols == other->cols && span->decay == other->decay &&
           span->trainable == other->trainable && span->row_sparse == other->row_sparse &&
           span->rate == other->rate && span->from_step == other->from_step;
}

static bool layout_difference(const struct sb_members *members, const Sb__Hello *hello,
                              char *sentence, size_t size)
{
    const char *first = members->workers[0].name;
    if (say_numbers(sentence, size, "tensors of the model", members->span_count, first,
                    hello->n_layout, hello->name))
        return true;
    for (size_t i = 0; i < members->span_count; i++) {
        const struct sb_span *ours = &members->spans[i];
        const Sb__Span *theirs = hello->layout[i];
        if (same_span(ours, theirs))
            continue;
        snprintf(sentence, size,
                 "tensor %zu of the model: [%" PRIu64 ", %" PRIu64 "]%s at %s, [%" PRIu64
                 ", %" PRIu64 "]%s at %s",
                 i, ours->rows, ours->cols, ours->trainable ? "" : " frozen", first, theirs->rows,
                 theirs->cols, theirs->trainable ? "" : " frozen", hello->name);
        return true;
    }
    return false;
}

static int check_settings(const struct sb_members *members, const Sb__Hello *hello,
                          struct sb_err *err)
{
    char sentence[SENTENCE_BYTES];
    if (sb_job_difference(members->canonical, hello->canonical, sentence, sizeof(sentence)))
        return sb_err_set(err, SB_ERR_CONFIG, "%s has other settings than %s ('here'): %s",
                          hello->name, members->name, sentence);
    if (say_texts(sentence, sizeof(sentence), "arithmetic of the machine", members->fingerprint,
                  members->name, hello->fingerprint, hello->name))
        return sb_err_set(err, SB_ERR_CONFIG, "%s", sentence);
    return 0;
}

/* ---- joining ---- */

/* The old names of a place give way to the newcomer's. */
static void keep_name(char **name, const char *fresh, char *gone)
{
    snprintf(gone, SB_MEMBERS_NAME_BYTES, "%s", *name ? *name : "");
    free(*name);
    *name = sb_strdup(fresh);
}

static enum sb_members_answer join_server(struct sb_members *members, uint64_t peer,
                                          const Sb__Hello *hello, char *gone, struct sb_err *err)
{
    if (peer != hello->index || hello->index >= members->server_count) {
        sb_err_set(err, SB_ERR_CONFIG,
                   "%s calls itself server %" PRIu32 ", and there are %" PRIu32 " of them",
                   hello->name, hello->index, members->server_count);
        return SB_MEMBERS_REFUSED;
    }
    struct sb_members_server *server = &members->servers[hello->index];
    if (server->here) {
        if (hello->life < server->life)
            return SB_MEMBERS_PAST;
        /* Two cannot listen at one address: who has another name there came after the other's end.
         */
        bool same_address = !strcmp(server->address, hello->address);
        if (hello->life == server->life && same_address && !strcmp(server->name, hello->name))
            return SB_MEMBERS_KNOWN;
        if (hello->life == server->life && !same_address && !server->lost) {
            sb_err_set(err, SB_ERR_TRY_AGAIN,
                       "%s has the place of server %" PRIu32
                       "; %s may take it when the other is silent for worker_timeout_s",
                       server->name, hello->index, hello->name);
            return SB_MEMBERS_REFUSED;
        }
        keep_name(&server->address, hello->address, gone);
        keep_name(&server->name, hello->name, gone);
        server->life = hello->life;
        server->lost = false;
        return SB_MEMBERS_AGAIN;
    }
    *server = (struct sb_members_server){.here = true,
                                         .life = hello->life,
                                         .address = sb_strdup(hello->address),
                                         .name = sb_strdup(hello->name)};
    members->servers_here++;
    return SB_MEMBERS_NEW;
}

static Sb__Plan *copy_plan(const Sb__Plan *plan)
{
    size_t bytes = sb__plan__get_packed_size(plan);
    uint8_t *packed = sb_alloc(bytes ? bytes : 1);
    sb__plan__pack(plan, packed);
    Sb__Plan *copy = sb__plan__unpack(NULL, bytes, packed);
    sb_assert(copy);
    free(packed);
    return copy;
}

static void take_plan(struct sb_members *members, const Sb__Hello *hello)
{
    members->plan = copy_plan(hello->plan);
    members->span_count = hello->n_layout;
    members->spans = sb_calloc(hello->n_layout, sizeof(*members->spans));
    for (size_t i = 0; i < hello->n_layout; i++)
        members->spans[i] = (struct sb_span){
            .rows = hello->layout[i]->rows,
            .cols = hello->layout[i]->cols,
            .decay = hello->layout[i]->decay,
            .trainable = hello->layout[i]->trainable,
            .row_sparse = hello->layout[i]->row_sparse,
            .rate = hello->layout[i]->rate,
            .from_step = hello->layout[i]->from_step,
        };
}

/* The place of a worker that is lost, or a free one; UINT32_MAX: none. */
static uint32_t find_place(const struct sb_members *members)
{
    for (uint32_t i = 0; i < members->workers_here; i++)
        if (members->workers[i].lost)
            return i;
    return members->workers_here < members->worker_count ? members->workers_here : UINT32_MAX;
}

/*
 * The place of the one that was started with the same index before, or after, us; UINT32_MAX: none.
 * Those who were never started again may have any index, also the same.
 */
static uint32_t find_other_life(const struct sb_members *members, const Sb__Hello *hello)
{
    for (uint32_t i = 0; i < members->workers_here; i++) {
        const struct sb_members_worker *worker = &members->workers[i];
        if (worker->index == hello->index && worker->life != hello->life)
            return i;
    }
    return UINT32_MAX;
}

static enum sb_members_answer join_worker(struct sb_members *members, uint64_t peer,
                                          const Sb__Hello *hello, char *gone, struct sb_err *err)
{
    char sentence[SENTENCE_BYTES];
    if (sb_members_find_worker(members, peer) != UINT32_MAX)
        return SB_MEMBERS_KNOWN;
    if (!(peer & SB_PEER_WORKER_BIT) || hello->n_layout == 0) {
        sb_err_set(err, SB_ERR_PEER, "%s is not a worker: it has no model", hello->name);
        return SB_MEMBERS_REFUSED;
    }
    uint32_t other_life = find_other_life(members, hello);
    bool again = other_life != UINT32_MAX;
    if (again && members->workers[other_life].life > hello->life)
        return SB_MEMBERS_PAST;
    uint32_t place = again ? other_life : find_place(members);
    if (place == UINT32_MAX) {
        sb_err_set(err, SB_ERR_TRY_AGAIN, "%s is not needed now: all %" PRIu32 " workers are here",
                   hello->name, members->worker_count);
        return SB_MEMBERS_REFUSED;
    }
    if (members->plan) {
        const char *first = members->workers[0].name;
        if (sb_plan_difference(members->plan, first, hello->plan, hello->name, sentence,
                               sizeof(sentence)) ||
            layout_difference(members, hello, sentence, sizeof(sentence))) {
            sb_err_set(err, SB_ERR_CONFIG, "workers see different data or models: %s", sentence);
            return SB_MEMBERS_REFUSED;
        }
    } else {
        take_plan(members, hello);
    }
    struct sb_members_worker *worker = &members->workers[place];
    keep_name(&worker->name, hello->name, gone);
    *worker = (struct sb_members_worker){
        .peer = peer, .name = worker->name, .index = hello->index, .life = hello->life};
    if (place == members->workers_here)
        members->workers_here++;
    return again ? SB_MEMBERS_AGAIN : SB_MEMBERS_NEW;
}

enum sb_members_answer sb_members_join(struct sb_members *members, uint64_t peer,
                                       const Sb__Hello *hello, char *gone, struct sb_err *err)
{
    /* WELCOME repeats the addresses of all servers in one head. */
    if (strlen(hello->address) > ADDRESS_BYTES || strlen(hello->name) > ADDRESS_BYTES) {
        sb_err_set(err, SB_ERR_PEER, "a peer with a name or address of more than %d bytes",
                   ADDRESS_BYTES);
        return SB_MEMBERS_REFUSED;
    }
    if (check_settings(members, hello, err) < 0)
        return SB_MEMBERS_REFUSED;
    return hello->role == SB__ROLE__ROLE_SERVER ? join_server(members, peer, hello, gone, err)
                                                : join_worker(members, peer, hello, gone, err);
}
