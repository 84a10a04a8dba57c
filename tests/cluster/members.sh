#!/usr/bin/env bash
# Members come, go and stand still while a run goes on: it costs moments, and no bit.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # what fails is what is looked at here

small_job job mlm "$work/whole" "push_timeout_ms: 300" "speculate_after_s: 0.3"
sed -i 's/^max_steps: .*/max_steps: 60/' "$work/job.yaml"
run whole "$build/shardbert" train "$work/job.yaml" --set threads=1 || true

out=$work/out log=$work/server.log
common=("$work/job.yaml" --servers 1 --address="ipc://$work/socket" --set threads=1 --set logging_steps=1
    --set "output_dir=$out" --set max_workers=3 --set "ledger_dir=$work/ledger")

# said WORDS: waits until the coordinator has said so.
said() {
    local i
    for ((i = 0; i < 6000; i++)); do
        grep -q "$1" "$log" && return 0
        read -rt 0.05 <> <(:)
    done
    return 1
}
start() { # start INDEX: a worker; its pid is in pids[INDEX]
    "$build/shardbert-worker" "${common[@]}" --workers 2 --index "$1" >"$work/worker-$1.log" 2>&1 &
    pids[$1]=$!
}

: >"$log"
timeout 600 "$build/shardbert-ps" "${common[@]}" --workers 2 --index 0 --bind="ipc://$work/socket" >"$log" 2>&1 &
server=$!
start 0
start 1
said " step=5 "
kill -STOP "${pids[1]}"
check "one that stands still is noticed" said "worker 1 is silent for .* slots\\? .* go.* to worker 0 too"
check "and the run goes on without it" said " step=15 "
start 2 # comes while the run goes on
check "a newcomer is taken in" said "joined .*worker 2"
kill -CONT "${pids[1]}"
check "and the run goes on with all" said " step=30 "
kill -TERM "${pids[0]}"
check "one that gets a signal leaves" said "worker 0.* has got a signal: it leaves after this step"
rc=0
wait "${pids[0]}" || rc=$?
is "and ends well" "$rc" 0
rc=0
wait "$server" || rc=$?
is "the run ends" "$rc" 0
for i in 1 2; do
    rc=0
    wait "${pids[i]}" || rc=$?
    is "worker $i ends with it" "$rc" 0
done
check "same bits" same_weights "$work/whole" "$out"
check "each slot once" ledger_holds "$work/ledger" 60
