#!/usr/bin/env bash
# SIGTERM and the same command again: the run goes on where it was, also with other counts of
# servers and workers, and ends with the bits of a run that was left alone.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data

logged_step() { sed -nE 's/.*(^| )step=([0-9]+) .*/\2/p' "$1" 2>/dev/null | tail -1; }

# interrupt NAME COMMAND...: SIGTERM once a third step is logged; ends with 143 and without a model.
interrupt() {
    local name=$1 pid rc=0 waits=0 first step
    shift
    "$@" >"$work/$name.log" 2>&1 &
    pid=$!
    first=
    while kill -0 "$pid" 2>/dev/null && [ "$waits" -lt 1200 ]; do
        waits=$((waits + 1))
        step=$(logged_step "$work/$name.log")
        first=${first:-$step}
        [ -n "$step" ] && [ "$step" -ge $((first + 3)) ] && break
        read -rt 0.02 <> <(:) || true
    done
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" || rc=$?
    [ "$rc" -eq 143 ] && [ ! -e "$resumed/model.safetensors" ]
}

for task in mlm classify; do
    whole=$work/$task-whole resumed=$work/$task-resumed
    small_job whole "$task" "$whole" "logging_steps: 1"
    sed -i 's/^max_steps: .*/max_steps: 60/' "$work/whole.yaml"
    sed "s#^output_dir: .*#output_dir: $resumed#" "$work/whole.yaml" >"$work/job.yaml"
    if ! run "$task-whole" "$build/shardbert" train "$work/whole.yaml"; then
        not_ok "$task: the whole run ends"
        continue
    fi

    check "$task: SIGTERM stops an embedded run with 143" \
        interrupt "$task-one" "$build/shardbert" train "$work/job.yaml"
    check "$task: SIGTERM stops a run of processes with 143" \
        interrupt "$task-two" "$build/shardbert" train "$work/job.yaml" --servers 2 --workers 3 \
        --set threads=1
    run "$task-three" "$build/shardbert" train "$work/job.yaml" --servers 1 --workers 2 \
        --set threads=1 || true
    check "$task: stopped twice, resumed with other counts, same bits" same_weights "$whole" "$resumed"

    run "$task-again" "$build/shardbert" train "$work/job.yaml" || true
    check "$task: a finished run says so and does nothing" grep -q "is finished" "$work/$task-again.log"
    rc=0
    "$build/shardbert" train "$work/job.yaml" --set learning_rate=3e-5 >"$work/changed.log" 2>&1 || rc=$?
    check "$task: a changed setting is refused by its name" \
        test "$rc-$(grep -c learning_rate "$work/changed.log")" = 78-1
done
