/*
 * Checkpoints: output_dir/checkpoint-<step>/state-<i>-of-<n>.safetensors, one per server, and
 * MANIFEST.json.
 *
 * Every file is written under a temporary name, synced, and renamed; the manifest is the last.  A
 * folder without a manifest that verifies does not exist.  The newest that verifies is taken; there
 * is no pointer to it.  The bytes depend on the training only: the same step gives the same files.
 *
 * A run on embeddings adds its head, head.safetensors and head.json (embed_head.h): a function of
 * the weights, so nothing reads it back on resume.
 *
 * A state file holds tensors part.<id>.w, .m and .v (frozen parts: .w) of the parts that its server
 * owned.  Part numbers do not depend on the number of servers, so any number of servers can read
 * what any other wrote.
 */
#ifndef SB_CKPT_H
#define SB_CKPT_H

#include "account.h"
#include "embed_head.h"
#include "err.h"
#include "errand.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum { SB_CKPT_NAME_BYTES = 64, SB_CKPT_HASH_BYTES = 40, SB_CKPT_HEAD_FILES = 2 };

#define SB_CKPT_NONE UINT64_MAX

/* A write that goes on while others look: how far it has come, and whether it is still wanted. */
struct sb_ckpt_watch {
    _Atomic size_t written; /* parts, from the first on, whose memory is not read any more */
    const struct sb_errand *errand; /* that it is part of */
};

/* What one server writes, and what is filled when it reads.  The memory is the shard's. */
struct sb_ckpt_state {
    uint32_t server_index, server_count;
    struct sb_ckpt_watch *watch; /* of a write; may be NULL */
    uint64_t step;               /* committed steps */
    uint64_t applied; /* updates of the weights; smaller than step where steps were skipped */
    struct sb_ckpt_part {
        uint32_t part;
        size_t count;     /* floats */
        float *w, *m, *v; /* m and v are NULL for frozen parts */
    } * parts;            /* in part order */
    size_t part_count;
};

struct sb_ckpt_file {
    char name[SB_CKPT_NAME_BYTES];
    uint64_t bytes;
    char hash[SB_CKPT_HASH_BYTES]; /* xxh3-128, hexadecimal */
    double seconds;                /* that writing took; not kept */
};

/* Strings and objects are owned; released by sb_ckpt_manifest_release. */
struct sb_ckpt_manifest {
    uint64_t step;
    uint32_t term;
    uint64_t layout; /* sb_parts.hash */
    char *canonical; /* JOB settings */
    json_t *plan;    /* what the workers read out of the data */
    json_t *history; /* of the run so far */
    struct sb_ckpt_file *files;
    size_t file_count;
};

#define SB_CKPT_MANIFEST_INIT                                                                      \
    {                                                                                              \
        0                                                                                          \
    }

void sb_ckpt_manifest_release(struct sb_ckpt_manifest *manifest);

/* A folder that was passed over, and why. */
typedef void sb_ckpt_damaged(void *context, const char *sentence);

/* Where checkpoints live.  All folders are whole paths. */
struct sb_disk {
    void *context;
    /* Writes this server's state into folder, which is made if needed, and describes the file. */
    int (*write)(void *context, const char *folder, const struct sb_ckpt_state *state,
                 struct sb_ckpt_file *file, struct sb_err *err);
    /* Fills all parts of state, and step and applied, from whatever files of the folder hold them.
     */
    int (*read)(void *context, const char *folder, struct sb_ckpt_state *state, struct sb_err *err);
    /* Writes a head beside the states and describes its files [SB_CKPT_HEAD_FILES].  NULL: cannot.
     */
    int (*write_head)(void *context, const char *folder, const struct sb_embed_head *head,
                      struct sb_ckpt_file *files, struct sb_err *err);
    /* Writes the manifest: from here on the checkpoint exists. */
    int (*publish)(void *context, const char *folder, const struct sb_ckpt_manifest *manifest,
                   struct sb_err *err);
    /*
     * The newest checkpoint of output_dir that verifies: 1 and folder (SB_PATH_BYTES) and manifest,
     * 0 if there is none, -1 on trouble with output_dir itself.
     */
    int (*newest)(void *context, const char *output_dir, char *folder,
                  struct sb_ckpt_manifest *manifest, sb_ckpt_damaged *damaged,
                  void *damaged_context, struct sb_err *err);
    /* Removes what a save that failed has left; one that verifies stays, and a missing folder is
     * fine. */
    int (*discard)(void *context, const char *folder, struct sb_err *err);
    /*
     * The highest term that a run in output_dir has taken, 0 if none has.  A new one is kept, safe
     * from a loss of power, before the first message carries it.
     */
    int (*read_term)(void *context, const char *output_dir, uint32_t *term, struct sb_err *err);
    int (*keep_term)(void *context, const char *output_dir, uint32_t term, struct sb_err *err);
    /* What was lost and done again, beside the terms.  NULL: it is not kept. */
    int (*keep_account)(void *context, const char *output_dir, const struct sb_account *account);
    bool (*read_account)(void *context, const char *output_dir, struct sb_account *account);
    /*
     * After the save of a step: keeps the newest `keep` checkpoints of output_dir up to that step
     * that have a manifest, and that of step `also` (SB_CKPT_NONE: of no step) beside them, and
     * removes what saves that came to no end have left: nothing may be under way.  Those of later
     * steps did not verify when the run began, or come of a term that is over; they stay until the
     * run has come so far, and keep nobody else's place.
     */
    int (*prune)(void *context, const char *output_dir, uint64_t step, uint32_t keep, uint64_t also,
                 struct sb_err *err);
    /* Runs it beside its owner, as sb_errand_start does.  All of the above may be called in it. */
    int (*start)(void *context, struct sb_errand *errand, struct sb_err *err);
    /* Seconds of a clock that never goes back: to measure what a save costs. */
    double (*seconds)(void *context);
};

/* Real folders. */
extern const struct sb_disk sb_disk_files;

/*
 * Reads the manifest of one folder and checks all files that it names, bytes and checksums.  The
 * manifest, empty before, is to be released after a failure too.
 */
int sb_ckpt_verify(struct sb_ckpt_manifest *manifest, const char *folder, struct sb_err *err);

/*
 * As sb_disk.newest, for those who only look: 1, 0 or -1.  damaged, if it is not NULL, is told of
 * each folder that is passed over.
 */
typedef void sb_ckpt_passed_over(void *context, const char *folder, uint64_t step,
                                 const char *sentence);
int sb_ckpt_newest(const char *output_dir, char *folder, struct sb_ckpt_manifest *manifest,
                   sb_ckpt_passed_over *passed_over, void *context, struct sb_err *err);

/* "output_dir/checkpoint-<step>" */
void sb_ckpt_folder(char folder[4096], const char *output_dir, uint64_t step);

#endif
