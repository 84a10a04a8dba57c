#!/usr/bin/env bash
# A thread that stands still in a process that lives: the others go on, the process finds out itself, says where its threads
# were, ends, and is started again.  The run ends well, with the same bits.
# HANGS=N moments more at random, from SEED.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # what fails is what is looked at here

micro_job job classify "$work/whole" "save_steps: 100" "push_timeout_ms: 300" "restart_delay_ms: 50" "hang_timeout_s: 1" \
    "speculate_after_s: 0.3" "logging_steps: 100"
sed -i 's/^max_steps: .*/max_steps: 1000/' "$work/job.yaml"
run whole "$build/shardbert" train "$work/job.yaml" --set threads=1 --quiet

left_behind() { pgrep -f "shardbert.* $work/job.yaml"; }
# hangs NAME HANG WHO WORDS [SETTING...]: a run in which that process, in its first life, hangs there.
hangs() {
    local name=$1 hang=$2 who=$3 words=$4 log=$work/log rc=0
    shift 4
    rm -rf "$work/out"
    SB_HANG=$hang SB_HANG_WHO="$who --life=0" LD_PRELOAD="$build/tests/hang.so" timeout -k 5 120 "$build/shardbert" \
        train "$work/job.yaml" --servers 2 --workers 3 --set "output_dir=$work/out" "$@" >"$log" 2>&1 </dev/null || rc=$?
    is "$name: the run ends well" "$rc" 0
    check "$name: it hung" grep -q "^hang: a thread of process" "$log"
    check "$name: says so" grep -q "$words" "$log"
    check "$name: ends" grep -q "killed by signal 6" "$log"
    check "$name: same bits" same_weights "$work/whole" "$work/out"
    is "$name: no process is left" "$(left_behind)" ""
    [ "$rc" = 0 ] || sed 's/^/# /' "$log" | tail -20
}
# The others do not compute its share, so the run must wait until it is back.
alone=(--set threads=1 --set speculate_after_s=60)
comes_back() { check "it is started again" grep -q "killed by signal 6; it is started again" "$work/log"; }

hangs "a compute thread of a worker" gemm:60:sleep "shardbert-worker --index=1" \
    "shardbert: worker 1 hangs: its threads sleep and finish nothing for 1 s" --set threads=1
check "its stack is there" grep -q "cblas_sgemm" "$work/log"
check "meanwhile others compute its share" grep -q "worker 1 is silent for .* go" "$work/log"
hangs "one of several compute threads" gemm:61:sleep "shardbert-worker --index=0" "worker 0 hangs" "${alone[@]}" --set threads=3
comes_back
hangs "the thread of a server" send:300:sleep "shardbert-ps --index=1" "server 1 hangs" "${alone[@]}"
comes_back
hangs "the thread of the coordinator" send:300:sleep "shardbert-ps --index=0" "server 0 hangs" "${alone[@]}"
comes_back
# The first thread of the program is the watchdog's; the cache is empty, so that of whoever prepares the data is the second.
hangs "a thread that prepares data" thread:2:sleep "shardbert-worker" "worker [012] hangs" --set threads=1 \
    --set "cache_dir=$work/cache-2"
comes_back

RANDOM=${SEED:-1}
for ((i = 0; i < ${HANGS:-0}; i++)); do
    all=("shardbert-worker --index=0" "shardbert-worker --index=1" "shardbert-worker --index=2" "shardbert-ps --index=0" "shardbert-ps --index=1")
    who=${all[RANDOM % 5]}
    where=send
    [[ $who == *worker* ]] && [ $((RANDOM % 2)) -eq 0 ] && where=gemm
    hangs "hang $i: $who" "$where:$((20 + RANDOM % 300)):sleep" "$who" "hangs" --set threads=1
done
