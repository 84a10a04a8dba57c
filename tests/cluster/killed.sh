#!/usr/bin/env bash
# What happens when a process dies or hangs: everybody ends within the limits, says why, leaves no
# process and no socket behind, and the same command goes on to the same bits.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # what fails is what is looked at here

whole=$work/whole out=$work/out
small_job whole classify "$whole" "logging_steps: 1" "save_steps: 10" "push_timeout_ms: 300" \
    "step_timeout_s: 4" "join_timeout_s: 10" "speculate_after_s: 0"
sed -i 's/^max_steps: .*/max_steps: 300/' "$work/whole.yaml"
sed "s#^output_dir: .*#output_dir: $out#" "$work/whole.yaml" >"$work/job.yaml"
run whole "$build/shardbert" train "$work/whole.yaml" --set threads=1

processes=("$build/shardbert" train "$work/job.yaml" --servers 2 --workers 2 --set threads=1)
settings=("$work/job.yaml" --set threads=1)
ranks=(mpirun -np 2 "$build/shardbert-ps" "${settings[@]}" : -np 2 "$build/shardbert-worker" "${settings[@]}")

# Of the processes that run our job: theirs is the only command line with this folder in it.
left_behind() { pgrep -f "shardbert.* $work/job.yaml" | grep -v "^$$\$"; }
# child PARENT NAME INDEX: the pid of its INDEXth child (from 1) whose program is NAME.
child() { pgrep -P "$1" -x "$(cut -c1-15 <<<"$2")" | sed -n "$3p"; }
# grandchild PARENT INDEX: the worker that a rank of this mpirun looks after.
grandchild() { pgrep -P "$(pgrep -d, -P "$1")" -f -- "/shardbert-worker .*--index=$2 "; }

# ends NAME SIGNAL WHO INDEX CODE LIMIT_S WORDS COMMAND...: signals one process after step 12 and a checkpoint, and looks at what is left.
ends() {
    local name=$1 signal=$2 who=$3 index=$4 code=$5 limit=$6 words=$7 log=$work/log pid rc=0 victim begin i
    shift 7
    rm -rf "$out"
    : >"$log" # or the one before would be looked at
    TMPDIR=$work "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    for ((i = 0; i < 600; i++)); do
        grep -qE "(^| )step=1[2-9] " "$log" && grep -q "event=saved" "$log" && break
        read -rt 0.05 <> <(:)
    done
    victim=$pid
    case "$who" in
    self) ;;
    in-rank) victim=$(grandchild "$pid" "$index") ;;
    *) victim=$(child "$pid" "$who" "$index") ;;
    esac
    begin=$SECONDS
    if ! kill "-$signal" "$victim"; then
        not_ok "$name: was running after step 12" "$(tail -3 "$log")"
        wait "$pid"
        return
    fi
    for ((i = 0; i < 20 * limit; i++)); do
        kill -0 "$pid" 2>/dev/null || break
        read -rt 0.05 <> <(:)
    done
    if kill -0 "$pid" 2>/dev/null; then
        not_ok "$name: ends within $limit s" "$(tail -3 "$log")"
        kill -9 "$victim" "$pid"
    else
        ok "$name: ends within $limit s ($((SECONDS - begin)) s)"
    fi
    wait "$pid" || rc=$?
    is "$name: exit code" "$rc" "$code"
    check "$name: says why" grep -q "$words" "$log"
    is "$name: no process is left" "$(left_behind)" ""
    is "$name: no socket is left" "$(find /tmp -maxdepth 1 -name "shardbert-sockets-$pid-*")" ""
    check "$name: a checkpoint is left" test -n "$(find "$out" -name MANIFEST.json)"
    run "again" "$@"
    check "$name: the same command goes on to the same bits" same_weights "$whole" "$out"
}

ends "worker killed" KILL shardbert-worker 2 69 15 "shardbert: worker 1 was killed by signal 9" "${processes[@]}" --set max_restarts=0
ends "server killed" KILL shardbert-ps 2 69 15 "shardbert: server 1 was killed by signal 9" "${processes[@]}" --set max_restarts=0
ends "coordinator killed" KILL shardbert-ps 1 69 15 "shardbert: server 0 was killed by signal 9" "${processes[@]}" --set max_restarts=0
ends "worker stopped" STOP shardbert-worker 2 69 45 "shardbert: no progress for 4 s .*missing: [a-z]* of worker 1" "${processes[@]}"
ends "mpirun, worker killed for good" KILL in-rank 1 69 15 "shardbert: worker 1 was killed by signal 9" "${ranks[@]}" --set max_restarts=0
ends "mpirun, worker stopped" STOP in-rank 1 69 30 "shardbert: no progress for 4 s .*missing: [a-z]* of worker" "${ranks[@]}"
ends "mpirun, SIGUSR1" USR1 self 0 143 15 "stopped after a checkpoint" "${ranks[@]}"
# mpirun kills one second after a SIGTERM, unless it is told to wait; the last words of its ranks it may swallow.
ends "mpirun, SIGTERM" TERM self 0 1 30 "step=12" mpirun --mca odls_base_sigkill_timeout 15 "${ranks[@]:1}"

# A worker whose data is bad ends all the others long before their limits.
printf '0\tfine\n\xff\xfe broken\n' >"$work/data/bad.tsv"
rm -rf "$out"
begin=$SECONDS
exits "mpirun, bad data of one worker" 65 "bad.tsv:2" timeout 60 mpirun -np 1 "$build/shardbert-ps" "${settings[@]}" \
    --set join_timeout_s=50 : -np 1 "$build/shardbert-worker" "${settings[@]}" : \
    -np 1 "$build/shardbert-worker" "${settings[@]}" --set train_file="$work/data/bad.tsv"
check "mpirun, bad data: nobody waits for it" test $((SECONDS - begin)) -lt 20
