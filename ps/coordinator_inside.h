/*
 * What the files of the coordinator tell each other, and nobody else:
 *
 *   coordinator.c         its life, its messages, its clock
 *   coordinator_start.c   JOINING, LOADING, SEEDING
 *   coordinator_deal.c    who computes what
 *   coordinator_watch.c   what becomes of the share of one who is slow or falls silent
 *   coordinator_leave.c   workers that leave, and a run that has too few
 *   coordinator_recover.c terms; what happens when a server or a worker comes back
 *   coordinator_nonfinite.c  steps whose numbers are not finite
 *   coordinator_run.c     GATHERING, TRAINING, EVALUATING, and go_on: what is next?
 *   coordinator_save.c    checkpoints, beside the training; SAVING, where it stands still for one
 *   coordinator_best.c    judging evaluations; RELOADING
 *   coordinator_finish.c  FINISHING
 *   coordinator_status.c  what it is doing, for those who ask
 */
#ifndef SB_COORDINATOR_INSIDE_H
#define SB_COORDINATOR_INSIDE_H

#include "coordinator.h"

/* coordinator.c */
void sb_coordinator_send(struct sb_coordinator *c, struct sb_outbox *out, uint64_t peer,
                         Sb__Head *head, struct sb_frame *frame);
/* Fills in step, total and epoch. */
void sb_coordinator_tell(struct sb_coordinator *c, struct sb_event event);
/* For the ledger.  Fills in the term, and the step if it is not the one that ends. */
void sb_coordinator_note(struct sb_coordinator *c, struct sb_entry entry);
/* Of a peer: fills in who, too. */
void sb_coordinator_tell_of_worker(struct sb_coordinator *c, uint32_t worker,
                                   struct sb_event event);
void sb_coordinator_tell_of_server(struct sb_coordinator *c, uint32_t server,
                                   struct sb_event event);
/* The one place where the state changes. */
void sb_coordinator_move(struct sb_coordinator *c, enum sb_coordinator_state state);
double sb_coordinator_seconds(const struct sb_coordinator *c, uint64_t since_ns);
/* Steps that the model was trained for. */
uint64_t sb_coordinator_trained(const struct sb_coordinator *c);
double sb_coordinator_epoch(const struct sb_coordinator *c);
/* Workers have shares: GATHERING, TRAINING or EVALUATING. */
bool sb_coordinator_works(const struct sb_coordinator *c);

/* coordinator_start.c */
void sb_coordinator_take_hello(struct sb_coordinator *c, uint64_t peer, const Sb__Hello *hello,
                               struct sb_outbox *out);
void sb_coordinator_take_ready(struct sb_coordinator *c, uint64_t peer, const Sb__Ready *ready,
                               struct sb_outbox *out);
void sb_coordinator_send_start(struct sb_coordinator *c, struct sb_outbox *out);
void sb_coordinator_send_welcome(struct sb_coordinator *c, uint32_t worker, struct sb_outbox *out);
/* Looks for the newest checkpoint, takes a new term, and has the servers begin there: LOADING. */
void sb_coordinator_begin_loading(struct sb_coordinator *c, struct sb_outbox *out);
void sb_coordinator_watch_joining(struct sb_coordinator *c, struct sb_outbox *out);

/* coordinator_deal.c */
/* Shares are slots (GATHERING, EVALUATING) and not nodes; is this one here? */
bool sb_coordinator_deals_slots(const struct sb_coordinator *c);
bool sb_coordinator_slot_here(const struct sb_coordinator *c, uint64_t slot);
/* Deals the running step or evaluation to the workers that are not lost, and sends WORK. */
void sb_coordinator_deal(struct sb_coordinator *c, struct sb_outbox *out);
/* To whoever has not answered yet. */
void sb_coordinator_send_work(struct sb_coordinator *c, struct sb_outbox *out);
/* To those whose share is of the newest sequence: it is theirs from now on. */
void sb_coordinator_send_new_work(struct sb_coordinator *c, struct sb_outbox *out);
bool sb_coordinator_has_share(const struct sb_coordinator *c, uint32_t worker);
/* The part index of of slots first, first + 1, ... first + count - 1. */
void sb_coordinator_give_slots(struct sb_coordinator_worker *w, uint64_t first, uint64_t count,
                               uint64_t index, uint64_t of);

/* A node that this worker was asked for is DONE; and the step is committed. */
void sb_coordinator_measure(struct sb_coordinator *c, uint32_t worker, const Sb__Done *done);
void sb_coordinator_end_measuring(struct sb_coordinator *c, const struct sb_sums *sums);

/* coordinator_watch.c */
/* It speaks. */
void sb_coordinator_worker_lives(struct sb_coordinator *c, uint32_t worker);
/* It has finished something. */
void sb_coordinator_worker_moves(struct sb_coordinator *c, uint32_t worker);
/* Its place has been taken by another process. */
void sb_coordinator_worker_anew(struct sb_coordinator *c, uint32_t worker);
/* slots_done: all that it has finished, by its own count. */
void sb_coordinator_take_progress(struct sb_coordinator *c, uint32_t worker, uint64_t slots_done);
/* A DONE of this worker, before and after its sums are taken. */
void sb_coordinator_count_answer(struct sb_coordinator *c, uint32_t worker, const Sb__Head *head);
void sb_coordinator_note_first_done(struct sb_coordinator *c, uint32_t worker);
/* The running step is committed: what is usual? */
void sb_coordinator_count_step_seconds(struct sb_coordinator *c);
/* A newcomer has taken the place of a lost worker.  anew: also what that one had said is DONE. */
void sb_coordinator_inherit(struct sb_coordinator *c, uint32_t worker, bool anew,
                            struct sb_outbox *out);
/* Something of its share is missing, or was lost with a server. */
bool sb_coordinator_owes(const struct sb_coordinator *c, uint32_t worker);
/* Finds workers that are slow or silent and gives their shares to those that are done. */
void sb_coordinator_watch_workers(struct sb_coordinator *c, struct sb_outbox *out);

/* coordinator_leave.c */
/* A worker got a signal while others work: it leaves between two steps, and its place is free. */
void sb_coordinator_let_leave(struct sb_coordinator *c, uint32_t worker);
/* Between two steps: nothing is asked of them any more. */
void sb_coordinator_part_with_leavers(struct sb_coordinator *c, struct sb_outbox *out);
/* FINISH to those of whom nothing is asked, until they have said BYE. */
void sb_coordinator_dismiss(struct sb_coordinator *c, struct sb_outbox *out);
void sb_coordinator_take_leave(struct sb_coordinator *c, uint32_t worker);
/* Workers that are here and stay. */
uint32_t sb_coordinator_count_workers(const struct sb_coordinator *c);
/* SHORT: are there enough again? */
void sb_coordinator_watch_short(struct sb_coordinator *c, struct sb_outbox *out);

/* coordinator_recover.c */
/* A term above all that were ever taken here, kept on the disk before it is used. */
int sb_coordinator_take_term(struct sb_coordinator *c, uint32_t of_checkpoint, struct sb_err *err);
/* One that was started again has taken its old place. */
void sb_coordinator_server_again(struct sb_coordinator *c, uint32_t server, struct sb_outbox *out);
void sb_coordinator_worker_again(struct sb_coordinator *c, uint32_t worker, struct sb_outbox *out);
/* READY: who talks to a coordinator that does not know him should say HELLO again. */
void sb_coordinator_ask_to_rejoin(struct sb_coordinator *c, uint64_t peer, struct sb_outbox *out);
void sb_coordinator_watch_servers(struct sb_coordinator *c);
/* The training begins: what did those have behind them who knew an earlier life of ours? */
void sb_coordinator_count_rejoined(struct sb_coordinator *c);
/* A step is committed: is all that was lost done again? */
void sb_coordinator_count_redone(struct sb_coordinator *c);
/* A restart finds the account of the lives before. */
void sb_coordinator_read_account(struct sb_coordinator *c);
void sb_coordinator_keep_account(const struct sb_coordinator *c);
/* What was lost and done again, if anything was. */
void sb_coordinator_say_losses(struct sb_coordinator *c);

/* coordinator_run.c */
void sb_coordinator_go_on(struct sb_coordinator *c, struct sb_outbox *out);
void sb_coordinator_take_report(struct sb_coordinator *c, uint64_t peer, const Sb__Head *head,
                                const struct sb_msg *msg, struct sb_outbox *out);
void sb_coordinator_take_committed(struct sb_coordinator *c, uint64_t peer, const Sb__Head *head,
                                   struct sb_outbox *out);
void sb_coordinator_take_done(struct sb_coordinator *c, uint64_t peer, const Sb__Head *head,
                              const struct sb_msg *msg, struct sb_outbox *out);
void sb_coordinator_take_group_want(struct sb_coordinator *c, uint64_t peer, const Sb__Head *head,
                                    struct sb_outbox *out);
/* TRAINING: commits the step if all of it is here, and no checkpoint is in the way. */
void sb_coordinator_commit_if_complete(struct sb_coordinator *c, struct sb_outbox *out);
/* To whoever has not answered yet. */
void sb_coordinator_send_commit(struct sb_coordinator *c, struct sb_outbox *out);

/* coordinator_save.c */
/* Between two steps: should a checkpoint of this one begin now, or as soon as it can? */
bool sb_coordinator_save_due(const struct sb_coordinator *c);
/* One that is due, and not needed, is left out while another is under way. */
void sb_coordinator_leave_out_save(struct sb_coordinator *c);
/* The one under way must be over before the run goes on. */
bool sb_coordinator_save_awaited(const struct sb_coordinator *c);
void sb_coordinator_begin_save(struct sb_coordinator *c, struct sb_outbox *out);
/* All servers have kept what the checkpoint under way needs of the running step. */
bool sb_coordinator_save_kept(const struct sb_coordinator *c);
void sb_coordinator_send_save(struct sb_coordinator *c, struct sb_outbox *out);
void sb_coordinator_take_saved(struct sb_coordinator *c, uint64_t peer, const Sb__Head *head,
                               struct sb_outbox *out);
/* Is it over?  Is it waited for too long? */
void sb_coordinator_watch_save(struct sb_coordinator *c, struct sb_outbox *out);
/* Whatever is under way is not wanted any more; why, for a person. */
void sb_coordinator_drop_save(struct sb_coordinator *c, const char *why);
void sb_coordinator_release_save(struct sb_coordinator *c);
/* FINISHING: servers are still needed for it. */
bool sb_coordinator_save_holds_end(const struct sb_coordinator *c);

/* coordinator_status.c */
/*
 * The share of a worker as runs [first, last] of slots in slot order; missing: only what is not
 * here.  Returns how many; they are at most 64.
 */
size_t sb_coordinator_share(const struct sb_coordinator *c, uint32_t worker, bool missing,
                            uint64_t runs[64][2]);
/* "4-7", "0-3 6"; nothing if it has no share. */
void sb_coordinator_say_slots(const struct sb_coordinator *c, uint32_t worker, bool missing,
                              struct sb_bytes *out);
/* "slot" or "slots", for such a text. */
const char *sb_coordinator_slot_word(const char *slots);

/* coordinator_nonfinite.c */
/* A worker says that the numbers of this slot are not finite. */
void sb_coordinator_note_bad_slot(struct sb_coordinator *c, uint32_t worker, uint32_t slot);
/*
 * A complete step: may it be committed?  One that is not finite ends the run (false), or nan_policy
 * has it skipped: then its sums keep the counts of samples and tokens alone, and without targets
 * nothing is applied anywhere.
 */
bool sb_coordinator_accept_step(struct sb_coordinator *c, struct sb_sums *sums,
                                struct sb_outbox *out);

/* coordinator_best.c */
/* No further step: all are done, or early stopping has ended them. */
bool sb_coordinator_at_end(const struct sb_coordinator *c);
/* Takes in the results of the validation set. */
void sb_coordinator_judge(struct sb_coordinator *c, const json_t *results);
/* The metric that the job names is one that its evaluations have. */
int sb_coordinator_check_metric(const struct sb_coordinator *c, struct sb_err *err);
bool sb_coordinator_reload_due(const struct sb_coordinator *c);
/* At the end: the best model is wanted, and is neither this one nor on the disk. */
void sb_coordinator_say_best_lost(struct sb_coordinator *c);
void sb_coordinator_begin_reload(struct sb_coordinator *c, struct sb_outbox *out);
/* RELOADING: as far as the servers have come. */
void sb_coordinator_go_on_reloading(struct sb_coordinator *c, struct sb_outbox *out);

/* coordinator_finish.c */
void sb_coordinator_refuse(struct sb_coordinator *c, uint64_t peer, const char *name, int code,
                           const char *sentence, struct sb_outbox *out);
void sb_coordinator_finish(struct sb_coordinator *c, int code, const char *sentence,
                           struct sb_outbox *out);
void sb_coordinator_take_bye(struct sb_coordinator *c, uint64_t peer, struct sb_outbox *out);
/* Sends FINISH again. */
void sb_coordinator_send_finish(struct sb_coordinator *c, struct sb_outbox *out);
void sb_coordinator_go_on_finishing(struct sb_coordinator *c, struct sb_outbox *out);

#endif
