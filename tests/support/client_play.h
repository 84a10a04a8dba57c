/* A client whose servers are played by hand: what it sends is looked at in the outbox, what it
 * hears is written by the test. */
#ifndef SB_CLIENT_PLAY_H
#define SB_CLIENT_PLAY_H

#include "client.h"

enum { RETRY_MS = 100, SERVERS = 2, SLOTS = 4, COLS = 8, VOCAB = 100, TERM = 7 };
#define MS UINT64_C(1000000)
extern const char play_canonical[];

struct play {
    struct sb_client *client;
    struct sb_outbox out;
    uint64_t now;
    struct sb_parts parts; /* as the servers see them */
    float *weights;
    Sb__Plan plan;
    Sb__EvalSet set, *sets[1];
    struct sb_span spans[5];
    size_t span_count;
    int released;
};

/* sparse: a tensor whose rows are wanted one by one; frozen: one that is not trained. */
void play_init(struct play *play, bool sparse, bool frozen);
void play_release(struct play *play);
/* For sb_client_push_node: counts in *hint (play.released) the buffers that came back. */
void play_count_released(void *hint);

/* What the servers say; frames are ours to drop. */
void play_say(struct play *play, uint64_t peer, Sb__Head *head, struct sb_frame *frame0,
              struct sb_frame *frame1);
void play_say_welcome(struct play *play, bool seed, uint64_t step);
/* nodes [count], or the evaluation slots up to count. */
void play_say_work(struct play *play, bool eval, uint64_t step, uint64_t sequence, size_t count,
                   uint32_t *nodes);
void play_say_ack(struct play *play, uint64_t peer, const Sb__Head *push, Sb__Answer answer);
/* The value that the servers give to float i at a step. */
float play_value(uint64_t step, uint64_t i);
void play_say_weights(struct play *play, uint32_t index, uint64_t step,
                      const struct sb_frame *want);
void play_say_finish(struct play *play, uint64_t step, int code, const char *history);

/* Messages of a kind in the outbox. */
size_t play_count_of(const struct play *play, Sb__Head__BodyCase body);
/* Answers everything in the outbox that a willing cluster at this step would, in order. */
void play_answer_all(struct play *play, uint64_t step);
void play_tick(struct play *play, uint64_t ms);
/* Up to the welcome, which resumes at the step. */
void play_join(struct play *play, uint64_t step);
void play_push_node(struct play *play, uint32_t node, float *dense, const struct sb_stats *stats);
/* The messages in the outbox, but for those that ask a silent coordinator for a sign of life. */
size_t play_said(const struct play *play);

#endif
