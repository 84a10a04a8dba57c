#!/usr/bin/env bash
# A disk that takes its time: checkpoints are written beside the training, one at a time, and no step waits for them.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # what fails is what is looked at here

micro_job job classify "$work/whole" "logging_steps: 1" "save_steps: 5" "step_timeout_s: 60"
sed -i 's/^max_steps: .*/max_steps: 120/' "$work/job.yaml"
run whole "$build/shardbert" train "$work/job.yaml" --set threads=1 --set save_steps=120
slow() {
    SB_CALLS_SLOW=700 SB_CALLS_UNDER=$work/out/checkpoint- LD_PRELOAD="$build/tests/calls.so" \
        run slow "$build/shardbert" train "$work/job.yaml" --servers 2 --workers 2 --set threads=1 \
        --set "output_dir=$work/out" --set log_format=json
}
check "a run whose every fsync of a checkpoint takes 0.7 s longer ends well" slow

# beside STEP: steps that were committed after the one of the checkpoint, and before it was complete.
beside() { awk -v step="$1" 'index($0, "\"event\":\"step\"") {n += seen} index($0, "\"step\":" step ",") {seen = 1}
    index($0, "\"event\":\"saved\"") {print n; exit}' "$work/slow.log"; }
check "steps are committed while the first checkpoint is written" test "$(beside 5)" -gt 10
sed -nE 's/.*"event":"(saved|checkpoint_left_out)".*"step":([0-9]+).*/# \1 \2/p' "$work/slow.log"
check "what comes due meanwhile is left out" grep -q '"event":"checkpoint_left_out".*"step":10[,}]' "$work/slow.log"
is "which is said once in plain words" "$(grep -c 'is left out, and further ones' "$work/slow.log")" 1
check "the last one is there" test -f "$work/out/checkpoint-120/MANIFEST.json"
check "same bits" same_weights "$work/whole" "$work/out"
