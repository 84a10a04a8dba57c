#!/usr/bin/env bash
# Each call that may fail fails once: the run ends with one sentence and a documented code, or goes on
# without what it could do without; no half-written file keeps its name, and the same command then
# ends with the bits of a run without trouble.  FAULTS=all tries every call, else some of each kind.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e

each=${FAULTS:-6}
micro_job job classify "$work/whole" "save_steps: 4" "metrics_address: 127.0.0.1:0"
SB_CALLS_COUNT=$work/counts LD_PRELOAD=$build/tests/calls.so run whole "$build/shardbert" train "$work/job.yaml" --set threads=2

# try NAME N ERRNO: prints what went wrong, or nothing.
try() {
    local out=$work/try rc
    rm -rf "$out"
    SB_CALLS_FAIL=$1:$2:$3 LD_PRELOAD="$build/tests/calls.so" timeout 60 "$build/shardbert" train \
        "$work/job.yaml" --set threads=2 --set "output_dir=$out" >"$work/try.log" 2>&1
    rc=$?
    case $rc in
    0 | 66 | 71 | 73 | 74 | 75 | 78) ;;
    *) echo "$1 $2: exit code $rc: $(tail -1 "$work/try.log")"; return ;;
    esac
    if [ $rc -ne 0 ] && ! grep -qE '^shardbert|why=' "$work/try.log"; then
        echo "$1 $2: exit code $rc without a sentence"
    fi
    if ! timeout 60 "$build/shardbert" train "$work/job.yaml" --set threads=2 --set "output_dir=$out" \
        >"$work/again.log" 2>&1; then
        echo "$1 $2: the same command then fails: $(tail -1 "$work/again.log")"
    elif ! cmp -s "$work/whole/model.safetensors" "$out/model.safetensors"; then
        echo "$1 $2: other bits"
    fi
}

while read -r name count; do
    [ "$count" -gt 0 ] || continue
    if [ "$each" = all ] || [ "$count" -le "$each" ]; then
        numbers=$(seq 1 "$count")
    else
        numbers=$(seq 0 $((each - 1)) | awk -v n="$count" -v e="$each" '{print 1 + int($1 * (n - 1) / (e - 1))}')
    fi
    errno=5 # EIO
    case $name in
    malloc | calloc | realloc | mmap) errno=12 ;;
    fwrite | fflush) errno=28 ;;
    pthread_create) errno=11 ;;
    open | fopen | opendir | socket) errno=24 ;;
    esac
    bad=$(for n in $numbers; do try "$name" "$n" $errno; done)
    if [ -z "$bad" ]; then ok "$name may fail ($(wc -w <<<"$numbers") of $count calls)"; else not_ok "$name may fail" "$(head -5 <<<"$bad" | tr '\n' ';')"; fi
done <"$work/counts"
