/*
 * Who takes part: the servers and workers that said HELLO, and what all of them must agree on.
 *
 * The first worker's plan and layout are the run's; the next ones must bring the same.  Nothing
 * here depends on the order in which peers come but the numbers that workers get, and no result
 * depends on those.
 */
#ifndef SB_MEMBERS_H
#define SB_MEMBERS_H

#include "bytes.h"
#include "msg.h"
#include "parts.h"

#include <stdbool.h>

enum { SB_MEMBERS_NAME_BYTES = 257 };

struct sb_members_server {
    bool here;
    bool lost; /* silent: the coordinator's judgement.  One of the same index may take its place. */
    uint32_t life;
    char *address, *name;
};

struct sb_members_worker {
    uint64_t peer;
    char *name;
    uint32_t index, life; /* as it was started; index says nothing unless life is above 0 */
    bool lost;            /* silent: the coordinator's judgement.  A newcomer may take its place. */
};

struct sb_members {
    const char *canonical, *fingerprint, *name; /* ours; not owned */
    struct sb_members_server *servers;          /* [server_count] by index */
    uint32_t server_count, servers_here;
    struct sb_members_worker *workers;   /* [worker_count] in order of arrival */
    uint32_t worker_count, workers_here; /* places in all; taken, also by those who are lost */
    uint32_t worker_wanted;              /* to begin with */
    Sb__Plan *plan;                      /* NULL before the first worker */
    struct sb_span *spans;
    size_t span_count;
};

void sb_members_init(struct sb_members *members, const char *canonical, const char *fingerprint,
                     const char *name, uint32_t server_count, uint32_t worker_wanted,
                     uint32_t worker_count);
void sb_members_release(struct sb_members *members);

enum sb_members_answer {
    SB_MEMBERS_NEW,
    SB_MEMBERS_KNOWN,   /* a repeated HELLO */
    SB_MEMBERS_AGAIN,   /* started again: it takes the place that it had before it died */
    SB_MEMBERS_PAST,    /* a HELLO of an earlier life: nobody is there to hear an answer */
    SB_MEMBERS_REFUSED, /* err says why, naming both sides */
};

/* gone [SB_MEMBERS_NAME_BYTES]: after AGAIN, the name of the one whose place was taken. */
enum sb_members_answer sb_members_join(struct sb_members *members, uint64_t peer,
                                       const Sb__Hello *hello, char *gone, struct sb_err *err);
bool sb_members_servers_here(const struct sb_members *members);
bool sb_members_all_here(const struct sb_members *members);
/* "server 1, 2 of 3 workers" */
void sb_members_say_missing(const struct sb_members *members, struct sb_bytes *out);
/*
 * "worker 2" of "worker 2 at host, process 123"; the whole name where another worker's is as short.
 */
void sb_members_short_name(char who[SB_MEMBERS_NAME_BYTES], const struct sb_members *members,
                           uint32_t worker);
/* Index of a worker, or UINT32_MAX. */
uint32_t sb_members_find_worker(const struct sb_members *members, uint64_t peer);

/* First difference of two plans as a sentence that names both sides; false if they are equal. */
bool sb_plan_difference(const Sb__Plan *plan, const char *name, const Sb__Plan *other,
                        const char *other_name, char *sentence, size_t size);

#endif
