#!/usr/bin/env bash
# A worker that is killed leaves nothing but its share, which the others compute: the run ends by itself with the
# same weights.  Also when it was the one that would have written the model, and also when another takes its place.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data

small_job job mlm "$work/whole" "max_steps: 24" "push_timeout_ms: 300" "worker_timeout_s: 2"
sed -i '/^max_steps: 12$/d' "$work/job.yaml"
run whole "$build/shardbert" train "$work/job.yaml" --set threads=1 || true

# killed NAME INDEX [REPLACE]: one server, three workers, of which INDEX is killed after step 5.
killed() {
    local name=$1 victim=$2 replace=${3:-} out=$work/$1 pids=() rc=0 i
    local common=("$work/job.yaml" --servers 1 --workers 3 --address="ipc://$work/$name.sock"
        --set threads=1 --set logging_steps=1 --set "output_dir=$out")
    timeout 200 "$build/shardbert-ps" "${common[@]}" --index 0 --bind="ipc://$work/$name.sock" >"$work/$name.log" 2>&1 &
    local server=$!
    for i in 0 1 2; do
        timeout 200 "$build/shardbert-worker" "${common[@]}" --index "$i" >"$work/$name-$i.log" 2>&1 &
        pids[i]=$!
    done
    for ((i = 0; i < 600; i++)); do
        grep -q " step=5 " "$work/$name.log" && break
        sleep 0.05
    done
    # timeout passes every signal on but this one: its child is the worker.
    kill -9 "$(tr -d ' ' <"/proc/${pids[victim]}/task/${pids[victim]}/children")" || true
    if [ "$replace" ]; then
        for ((i = 0; i < 600; i++)); do
            grep -q "is silent" "$work/$name.log" && break
            sleep 0.05
        done
        timeout 200 "$build/shardbert-worker" "${common[@]}" --index "$victim" >"$work/$name-new.log" 2>&1 &
        pids[3]=$!
    fi
    wait "$server" || rc=$?
    wait "${pids[@]}" || true
    is "$name: the run ends by itself" "$rc" 0
    check "$name: the loss of the worker was noticed" grep -q "is silent" "$work/$name.log"
    check "$name: same bits" same_weights "$work/whole" "$out"
}

killed writer 0
killed other 1
killed replaced 2 replace
