#!/usr/bin/env bash
# Threads and processes side by side: compute threads, readers ahead, savers, metrics while they train.  tests/run.sh
# runs it with a build under ThreadSanitizer, where a report makes a program end badly.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data

# watched NAME COMMAND...: the metrics of the first process that serves them are read while it runs; a quick run is over
# before.
watched() {
    local name=$1 pid address='' rc=0
    shift
    : >"$work/$name.log"
    timeout 300 "$@" >"$work/$name.log" 2>&1 </dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        address=$(sed -nE 's/.*event=serving .*metrics=([0-9.:]+).*/\1/p' "$work/$name.log" | head -1)
        [ -z "$address" ] ||
            python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=5).read()' \
                "http://$address/metrics" 2>/dev/null || true
        read -rt 0.05 <> <(:) || true
    done
    wait "$pid" || rc=$?
    [ "$rc" -eq 0 ] && return 0
    echo "# $name: exit code $rc"
    grep -A12 'WARNING: ThreadSanitizer' "$work/$name.log" | head -40 | sed 's/^/#   /'
    tail -5 "$work/$name.log" | sed 's/^/#   /'
    return 1
}

for task in mlm classify; do
    micro_job "$task" "$task" "$work/$task" "save_steps: 5" "metrics_address: 127.0.0.1:0"
    sed -i 's/^max_steps: .*/max_steps: 60/' "$work/$task.yaml"
    check "$task: one process with four threads" \
        watched "$task-embedded" "$build/shardbert" train "$work/$task.yaml" --set threads=4
    check "$task: two servers and two workers of two threads each" \
        watched "$task-launched" "$build/shardbert" train "$work/$task.yaml" --servers 2 --workers 2 \
        --set threads=2 --set "output_dir=$work/$task-launched"
    check "$task: same bits" same_weights "$work/$task" "$work/$task-launched"
done
