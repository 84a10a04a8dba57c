/*
 * A server's share of a checkpoint: the state of its shard at one step, kept as it was and written
 * beside the training.
 *
 *     begin: the state is kept -----> (waits for an older write to end) -----> written -----> over
 *                  '--------- a new term: forgotten, its write ends when it likes --------'
 *
 * One write at a time: an older one that nobody wants any more may still sit in a disk that does
 * not answer.  Owner: the server.
 */
#ifndef SB_SAVER_H
#define SB_SAVER_H

#include "shard.h"

struct sb_saver_write;

struct sb_saver {
    const struct sb_disk *disk; /* NULL: there is no place for checkpoints */
    uint64_t step;              /* that was asked for last; SB_CKPT_NONE: none */
    bool over;                  /* that one: file or err say what came of it */
    double seconds;             /* that keeping the state took */
    struct sb_ckpt_file file;
    struct sb_err err;
    struct sb_saver_write *write; /* of step; NULL: over */
    bool started;
    struct sb_saver_write *past; /* an older one, unwanted, that is not over */
};

void sb_saver_init(struct sb_saver *saver, const struct sb_disk *disk);
void sb_saver_release(struct sb_saver *saver);

/* Keeps the state of the shard as it is now and begins to write it into folder.  waited_for: the
 * run stands still for it. */
void sb_saver_begin(struct sb_saver *saver, struct sb_shard *shard, const char *folder,
                    bool waited_for);
/* True once, when the write has come to its end. */
bool sb_saver_ended(struct sb_saver *saver);
/* Lets go of the memory that is written already, so that an update need not leave it alone. */
void sb_saver_drop_written(struct sb_saver *saver);
/* Nobody wants what was asked for. */
void sb_saver_forget(struct sb_saver *saver);

#endif
