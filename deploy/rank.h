/*
 * A rank under mpirun: it meets the others by MPI, and then looks after one process of its role,
 * which knows nothing of MPI, and starts it again when it dies.  mpirun sees the rank live on.
 *
 *   MPI: counts of roles, hosts -> addresses of the servers, whose ports stay ours -> the first
 *   worker's look at output_dir -> MPI_Finalize -> supervise
 */
#ifndef SB_RANK_H
#define SB_RANK_H

#include "role.h"

/* Whether mpirun has started this process. */
bool sb_rank_here(const struct sb_run_args *args);
/* Returns the exit code; err says why when that is nobody else's to say. */
int sb_rank_run(struct sb_role *role, bool is_server, struct sb_err *err);

#endif
