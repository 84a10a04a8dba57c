/*
 * A message: a packed protobuf head and up to two raw frames.
 *
 * The head is packed when a message is made and unpacked, with all checks, when it is opened; also
 * inside one process.  So every shape of a cluster speaks the same bytes, and nothing unchecked
 * gets past sb_msg_open. Frames are reference-counted and never copied: a push sends the gradient
 * buffer itself.
 */
#ifndef SB_MSG_H
#define SB_MSG_H

#include "err.h"
#include "shardbert.pb-c.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SB_PROTOCOL_VERSION = 1,
    SB_HEAD_BYTES_MAX = 64 << 10, /* with its seal */
    SB_SEAL_BYTES = 8,            /* xxh3-64 of the packed head, behind it */
    SB_FRAME_BYTES_MAX = 64 << 20,
    SB_FRAMES_MAX = 2,
    SB_HEAD_SUMS_MAX = 1024, /* more sums of a DONE follow as frame 0 */
};

/* Bytes with a count of references; the last one to let go calls release(hint).  Any thread may let
 * go. */
struct sb_frame {
    void *data;
    size_t bytes;
    _Atomic uint32_t references;
    void (*release)(struct sb_frame *frame);
    void *hint;
};

/* A frame with memory of its own (64-byte aligned). */
struct sb_frame *sb_frame_new(size_t bytes);
/* A frame over memory of somebody else; release may be NULL. */
struct sb_frame *sb_frame_over(void *data, size_t bytes, void (*release)(struct sb_frame *frame),
                               void *hint);
struct sb_frame *sb_frame_keep(struct sb_frame *frame);
void sb_frame_drop(struct sb_frame **frame);
/* Somebody else holds it as well: where that is the net, it is not sent yet. */
bool sb_frame_shared(const struct sb_frame *frame);

struct sb_msg {
    uint8_t *head;
    size_t head_bytes;
    struct sb_frame *frames[SB_FRAMES_MAX];
    size_t frame_count;
};

/*
 * Packs head; keeps the frames (the caller's references stay his).  Fills in version and checksums.
 * checksum false leaves them out: for messages that stay in the process.
 */
struct sb_msg *sb_msg_new(Sb__Head *head, struct sb_frame *frame0, struct sb_frame *frame1,
                          bool checksum);
/* Makes the seal fit the packed head: after a change to it, which only tests make. */
void sb_msg_seal(struct sb_msg *msg);
struct sb_msg *sb_msg_copy(const struct sb_msg *msg); /* shares the frames */
void sb_msg_free(struct sb_msg **msg);
/* Head and frames in bytes. */
size_t sb_msg_bytes(const struct sb_msg *msg);

/*
 * The head of a message from outside, checked: size, version, a known body, the number of frames
 * that the body takes, frame sizes, checksums where given.  The sums of a DONE that came as a frame
 * stand behind those of the head; vectors stay in their frame.  NULL and err (SB_ERR_PEER)
 * otherwise.  Freed by sb_msg_close.
 */
Sb__Head *sb_msg_open(const struct sb_msg *msg, struct sb_err *err);
void sb_msg_close(Sb__Head **head);
const char *sb_msg_name(const Sb__Head *head); /* "PUSH", "WANT", ... */

/* Head.job: names the protocol version and the canonical JOB settings.  Servers and workers both
 * take it from here. */
uint64_t sb_msg_job(const char *canonical);

/* Peers: servers are their index; workers a random number with the top bit set, their incarnation.
 */
#define SB_PEER_COORDINATOR UINT64_C(0)
#define SB_PEER_WORKER_BIT  (UINT64_C(1) << 63)

/* What a pure core wants sent, in order. */
struct sb_outbox {
    struct sb_out {
        uint64_t peer;
        struct sb_msg *msg;
    } * items;
    size_t count, capacity;
};

void sb_outbox_put(struct sb_outbox *outbox, uint64_t peer,
                   struct sb_msg *msg); /* msg is the outbox's now */
void sb_outbox_clear(struct sb_outbox *outbox);
void sb_outbox_release(struct sb_outbox *outbox);

#endif
