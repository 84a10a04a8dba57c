#!/usr/bin/env bash
# Under mpirun each rank looks after a process of its own: one that is killed comes back at the same address, and the
# run ends with the same bits.  What mpirun itself does to ranks leaves no process behind, and the same command goes on.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # what fails is what is looked at here

whole=$work/whole out=$work/out
micro_job whole classify "$whole" "logging_steps: 1" "save_steps: 20" "push_timeout_ms: 300" "join_timeout_s: 20" \
    "restart_delay_ms: 50" "stop_grace_s: 20"
sed -i 's/^max_steps: .*/max_steps: 600/' "$work/whole.yaml"
sed "s#^output_dir: .*#output_dir: $out#" "$work/whole.yaml" >"$work/job.yaml"
run whole "$build/shardbert" train "$work/whole.yaml" --set threads=1
settings=("$work/job.yaml" --set threads=1)
# The roles wait on their cores for nobody: without this, mpirun binds each rank to one.
ranks=(mpirun --bind-to none -np 2 "$build/shardbert-ps" "${settings[@]}" : -np 2 "$build/shardbert-worker" "${settings[@]}")

# Theirs are the only command lines with this folder in them.
left_behind() { pgrep -f "shardbert-(ps|worker) .*$work/job.yaml"; }
# none_left: within a minute.
none_left() {
    local i
    for ((i = 0; i < 1200; i++)); do
        left_behind >"$work/left" || return 0
        read -rt 0.05 <> <(:)
    done
    sed 's/^/# left: /' "$work/left"
    return 1
}
# role NAME INDEX: the process that computes; rank NAME N: the Nth rank of this name (from 1), which looks after it.
role() { pgrep -f "/shardbert-$1 .*$work/job.yaml .*--child .*--index=$2 "; }
rank() { pgrep -P "$2" -f "/shardbert-$1 " | sed -n "$3p"; }
# await_step N: until the log has it.
await_step() {
    local i
    for ((i = 0; i < 2400; i++)); do
        grep -qE "(^| )step=$1 " "$work/log" && return
        read -rt 0.01 <> <(:)
    done
}

# begin: the ranks in the background; $pid is mpirun.
begin() {
    rm -rf "$out"
    : >"$work/log"
    TMPDIR=$work "$@" >"$work/log" 2>&1 </dev/null &
    pid=$!
}

# survives NAME [ROLE INDEX STEP]...: kill -9 of these processes, each at its step.
survives() {
    local name=$1 rc=0 victim
    shift
    begin "${ranks[@]}"
    while [ $# -gt 0 ]; do
        await_step "$3"
        victim=$(role "$1" "$2")
        kill -9 "$victim" || echo "# nobody to kill: $1 $2"
        shift 3
    done
    wait "$pid" || rc=$?
    is "$name: the run ends well" "$rc" 0
    [ "$rc" = 0 ] || tail -20 "$work/log" | sed 's/^/# /'
    check "$name: says that it is started again" grep -q "was killed by signal 9; it is started again" "$work/log"
    check "$name: same bits" same_weights "$whole" "$out"
    check "$name: no process is left" none_left
}

survives "worker killed" worker 1 30
survives "server killed" ps 1 50
survives "coordinator killed" ps 0 50
survives "all killed, one by one" worker 0 30 ps 1 70 worker 1 150 ps 0 250
check "the record of the run is there, with what it started from" \
    grep -q '"train_file": {' "$out/shardbert.json"

# ends NAME CODE SIGNAL WHO: what is done to mpirun's own processes; the same command goes on.
ends() {
    local name=$1 code=$2 signal=$3 who=$4 rc=0 victim
    begin "${ranks[@]}"
    await_step 50
    victim=$pid
    [ "$who" = mpirun ] || victim=$(rank "$who" "$pid" 2)
    kill "-$signal" "$victim" || echo "# nobody to signal: $who"
    wait "$pid" || rc=$?
    is "$name: exit code" "$rc" "$code"
    check "$name: no process is left" none_left
    run "again" "${ranks[@]}"
    check "$name: the same command goes on to the same bits" same_weights "$whole" "$out"
}

ends "worker's rank killed" 137 KILL worker
ends "server's rank killed" 137 KILL ps
ends "mpirun killed" 137 KILL mpirun
ends "mpirun, SIGUSR1" 143 USR1 mpirun

run "finished" "${ranks[@]}"
is "a finished run is said once, and nothing is done" "$(grep -c "is finished" "$work/finished.log")" 1
