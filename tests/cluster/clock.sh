#!/usr/bin/env bash
# The time of day jumps by up to a day, to and fro: nobody is taken for silent, nothing is written more or less often, same bits.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # what fails is what is looked at here

micro_job job classify "$work/whole" "logging_steps: 10" "save_steps: 100" "worker_timeout_s: 60" "step_timeout_s: 60"
sed -i 's/^max_steps: .*/max_steps: 500/' "$work/job.yaml"
run whole "$build/shardbert" train "$work/job.yaml" --set threads=1
jumping() {
    SB_CLOCK=86400 LD_PRELOAD="$build/tests/clock.so" run jumping timeout 120 "$build/shardbert" train "$work/job.yaml" \
        --servers 2 --workers 3 --set threads=1 --set log_format=json --set "output_dir=$work/out"
}
check "a run under a clock that jumps by a day ends well" jumping
days() { sed -nE 's/.*"time":([0-9]+).*/\1/p' "$work/jumping.log" | sort -n | awk 'NR == 1 {first = $1} END {print $1 - first}'; }
check "the clock did jump" test "$(days)" -gt 10000
is "nobody is lost, slow or started again" "$(grep -cE '"level":"(warning|error)"' "$work/jumping.log")" 0
is "as many checkpoints as by any clock" "$(grep -c '"event":"saved"' "$work/jumping.log")" 5
check "same bits" same_weights "$work/whole" "$work/out"
