#!/usr/bin/env bash
# A power cut at any moment of a run that saves: what is left on the disk, in every combination that
# the syncs allow, never loads as a checkpoint that was not complete, and never loses one that was saved.
# CRASH_STATES and SEED choose how many states, and which.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data

# Checkpoints that come due while one is written are left out, but not those of the best evaluation:
# by the end each has been waited for.
micro_job job classify "$work/out" "save_steps: 1" "save_total_limit: 2" "eval_steps: 2" \
    "load_best_model_at_end: true" "metric_for_best_model: loss"
sed -i 's/^learning_rate: .*/learning_rate: 1.0e-4/' "$work/job.yaml"
mkdir "$work/out"
SB_CALLS_RECORD="$work/record" SB_CALLS_UNDER="$work/out" LD_PRELOAD="$build/tests/calls.so" \
    run record "$build/shardbert" train "$work/job.yaml" --set threads=1
check "saved checkpoints survive" python3 tests/fault/crash_states.py "$work/record" "$work/out" \
    "$build/tests/newest_checkpoint" "${CRASH_STATES:-1000}" "${SEED:-1}"
