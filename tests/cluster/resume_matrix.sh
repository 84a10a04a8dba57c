#!/usr/bin/env bash
# Any number of workers and servers, killed at a random step, and resumed by any other number: the same bits.
# MATRIX=all: 24 of the pairs of 1 to 8 workers and 1 to 4 servers, else 6; SEED chooses them and the steps.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # what fails is what is looked at here

micro_job job classify "$work/whole" "save_steps: 20" "logging_steps: 1" "push_timeout_ms: 300"
sed -i 's/^max_steps: .*/max_steps: 400/' "$work/job.yaml"
run whole "$build/shardbert" train "$work/job.yaml" --set threads=1 || exit 1
RANDOM=${SEED:-1}
count=6 cut=0
[ "${MATRIX:-}" != all ] || count=24

# killed_at STEP SERVERS WORKERS: begun, and killed by one blow when it has made that step.
killed_at() {
    local pid i log=$work/log
    : >"$log"
    "$build/shardbert" train "$work/job.yaml" --servers "$2" --workers "$3" --set threads=1 --set "output_dir=$work/out" \
        >"$log" 2>&1 </dev/null &
    pid=$!
    for ((i = 0; i < 6000; i++)); do
        grep -qE "(^| )step=$1 " "$log" && break
        kill -0 "$pid" 2>/dev/null || break
        read -rt 0.01 <> <(:)
    done
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    while pgrep -f "output_dir=$work/out\$" >/dev/null; do read -rt 0.01 <> <(:); done
}
# pair NUMBER: servers and workers; the 32 pairs in an order of their own.
pair() { echo "$(($1 * 11 % 32 % 4 + 1)) $(($1 * 11 % 32 / 4 + 1))"; }

first=$((RANDOM % 32))
for ((n = 0; n < count; n++)); do
    after=$((first + n + 1 + RANDOM % 31)) # not in the subshell, where bash would draw it anew
    read -r servers workers <<<"$(pair $((first + n)))"
    read -r servers_after workers_after <<<"$(pair $after)"
    step=$((RANDOM % 250 + 3))
    name="$servers servers and $workers workers, killed at step $step, then $servers_after and $workers_after"
    rm -rf "$work/out"
    killed_at "$step" "$servers" "$workers"
    run resumed timeout 120 "$build/shardbert" train "$work/job.yaml" --servers "$servers_after" --workers "$workers_after" \
        --set threads=1 --set "output_dir=$work/out"
    cut=$((cut + $(grep -c 'how=resumed' "$work/resumed.log")))
    check "$name: same bits" same_weights "$work/whole" "$work/out"
done
check "$cut of $count runs were cut short, and went on from a checkpoint" test "$cut" -ge $((count / 3))
