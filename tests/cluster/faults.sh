#!/usr/bin/env bash
# Each call that may fail fails once, in a run of one process and in each process of a launched one: the run ends with
# one sentence and a documented code, or goes on without what it could do without; no half-written file keeps its name,
# no process is left behind, and the same command then ends with the bits of a run without trouble.
# FAULTS=all tries every call, else some of each kind; arguments choose kinds: FAULTS=all faults.sh fsync rename.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e

each=${FAULTS:-6}
chosen=" $* "
micro_job job classify "$work/whole" "save_steps: 4" "metrics_address: 127.0.0.1:0" "push_timeout_ms: 300" \
    "join_timeout_s: 10" "restart_delay_ms: 50"
run whole "$build/shardbert" train "$work/job.yaml" --set threads=2

# job FOLDER FAULT: trains; the fault is SB_CALLS_* assignments, or nothing.
job() {
    local out=$1
    shift
    timeout 120 env "$@" "$build/shardbert" train "$work/job.yaml" "${shape[@]}" --set threads=2 \
        --set "output_dir=$out" </dev/null
}

# left_behind FOLDER: processes of the run that are still there some time after its end.
left_behind() {
    local i
    for ((i = 0; i < 100; i++)); do
        pgrep -f "output_dir=$1\$|output_dir=$1 " >/dev/null || return 1
        read -rt 0.1 <> <(:)
    done
}

# try NAME N ERRNO: prints what went wrong, or nothing.
try() {
    local out=$work/try rc
    rm -rf "$out"
    job "$out" "SB_CALLS_FAIL=$1:$2:$3" "SB_CALLS_WHO=$who" "LD_PRELOAD=$build/tests/calls.so" >"$work/try.log" 2>&1
    rc=$?
    case $rc in
    0 | 66 | 69 | 71 | 73 | 74 | 75 | 78) ;;
    *) echo "$1 $2: exit code $rc: $(tail -1 "$work/try.log")"; return ;;
    esac
    if [ $rc -ne 0 ] && ! grep -qE '^shardbert|why=' "$work/try.log"; then
        echo "$1 $2: exit code $rc without a sentence"
    fi
    if left_behind "$out"; then echo "$1 $2: a process is left behind"; fi
    if ! job "$out" -u LD_PRELOAD >"$work/again.log" 2>&1; then
        echo "$1 $2: the same command then fails: $(tail -1 "$work/again.log")"
    elif ! cmp -s "$work/whole/model.safetensors" "$out/model.safetensors"; then
        echo "$1 $2: other bits"
    fi
}

# numbers COUNT: which of so many calls fail.
numbers() {
    if [ "$each" = all ] || [ "$1" -le "$each" ]; then
        seq 1 "$1"
    else
        seq 0 $((each - 1)) | awk -v n="$1" -v e="$each" '{print 1 + int($1 * (n - 1) / (e > 1 ? e - 1 : 1))}'
    fi
}

# fail_each WHERE KIND...: counts the calls of a run without faults; then each of them fails, or each of these kinds.
fail_each() {
    local where=$1 name count errno bad all
    shift
    rm -rf "$work/count" "$work/counts"
    job "$work/count" "SB_CALLS_COUNT=$work/counts" "SB_CALLS_WHO=$who" "LD_PRELOAD=$build/tests/calls.so" \
        >"$work/count.log" 2>&1
    [ -s "$work/counts" ] || { not_ok "$where: its calls are counted" "$(tail -1 "$work/count.log")"; return; }
    while read -r name count; do
        [ "$count" -gt 0 ] || continue
        [ "$chosen" = "  " ] || [[ $chosen == *" $name "* ]] || continue
        [ $# -eq 0 ] || [ "$each" = all ] || [[ " $* " == *" $name "* ]] || continue
        errno=5 # EIO
        case $name in
        malloc | calloc | realloc | mmap | head_malloc) errno=12 ;;
        fwrite | fflush) errno=28 ;;
        pthread_create | fork) errno=11 ;;
        open | fopen | opendir | socket | accept4 | eventfd | epoll_create1) errno=24 ;;
        bind) errno=98 ;;
        connect) errno=111 ;;
        esac
        all=$(numbers "$count")
        bad=$(for n in $all; do try "$name" "$n" $errno; done)
        if [ -z "$bad" ]; then
            ok "$where: $name may fail ($(wc -w <<<"$all") of $count calls)"
        else
            not_ok "$where: $name may fail" "$(head -5 <<<"$bad" | tr '\n' ';')"
        fi
    done <"$work/counts"
}

shape=() who=train
fail_each "one process"
# What only several processes do: a process that cannot begin is started again, and is then without a fault.
shape=(--servers 2 --workers 2)
each=${FAULTS:-2}
who="shardbert-ps --index=0 --life=0" fail_each "coordinator" socket bind listen accept4 eventfd pthread_create head_malloc
who="shardbert-ps --index=1 --life=0" fail_each "server" fsync rename connect
who="shardbert-worker --index=1 --life=0" fail_each "worker" socket connect epoll_create1 calloc mmap
who="train" fail_each "launcher" fork mkdir
