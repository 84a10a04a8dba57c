#!/usr/bin/env bash
# No process is left behind: whatever happens to the launcher, its terminal, its children, or as the first process of a
# container.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # what fails is what is looked at here

out=$work/out
micro_job job classify "$out" "logging_steps: 1" "push_timeout_ms: 300" "join_timeout_s: 20" "stop_grace_s: 4"
sed -i 's/^max_steps: .*/max_steps: 100000/' "$work/job.yaml" # it does not end by itself here
launched=("$build/shardbert" train "$work/job.yaml" --servers 2 --workers 2 --set threads=1)

left_behind() { pgrep -f "shardbert(-ps|-worker| train) .*$work/job.yaml"; }
none_left() {
    local i
    for ((i = 0; i < 1200; i++)); do
        left_behind >"$work/left" || return 0
        read -rt 0.05 <> <(:)
    done
    sed 's/^/# left: /' "$work/left"
    return 1
}
# begin COMMAND...: in the background, as $pid, up to its first steps.
begin() {
    local i
    rm -rf "$out"
    : >"$work/log"
    "$@" >"$work/log" 2>&1 </dev/null &
    pid=$!
    for ((i = 0; i < 2400; i++)); do
        grep -qE "(^| )step=[0-9]* .*loss=" "$work/log" && return
        read -rt 0.02 <> <(:)
    done
}
child() { pgrep -P "$pid" -f -- "/shardbert-$1 .*--index=$2 "; }
ended() { # NAME CODE
    local rc=0
    wait "$pid" || rc=$?
    is "$1: exit code" "$rc" "$2"
    check "$1: no process is left" none_left
}

begin "${launched[@]}"
kill -9 "$pid"
ended "launcher killed" 137

begin "${launched[@]}"
kill -HUP "$pid"
ended "terminal closed" 143
check "terminal closed: after a checkpoint" grep -q "stopped after a checkpoint" "$work/log"

begin "${launched[@]}"
kill -STOP "$(child worker 1)"
kill -TERM "$pid"
ended "SIGTERM while a worker is stopped" 143

begin "${launched[@]}"
kill -STOP "$(child ps 1)" # the checkpoint waits for it in vain
kill -TERM "$pid"
ended "SIGTERM while a server is stopped" 143
check "SIGTERM while a server is stopped: says what becomes of it" grep -q "the same command resumes" "$work/log"

begin "${launched[@]}" --set stop_grace_s=1000
kill -STOP "$(child ps 0)"
kill -TERM "$pid"
read -rt 1 <> <(:)
kill -TERM "$pid"
ended "a second SIGTERM does not wait" 143
is "and leaves no socket" "$(find /tmp -maxdepth 1 -name "shardbert-sockets-$pid-*")" ""

begin timeout 1000 "${launched[@]}" # sends a signal to the launcher and to its group
kill -TERM "$pid"
ended "timeout(1)" 143
check "timeout(1): after a checkpoint" grep -q "stopped after a checkpoint" "$work/log"

begin "${launched[@]}" --set max_restarts=2 --set restart_delay_ms=20
for life in 0 1 2; do
    for ((i = 0; i < 1200; i++)); do
        victim=$(pgrep -P "$pid" -f -- "/shardbert-worker .*--index=1 --life=$life ") && break
        read -rt 0.02 <> <(:)
    done
    kill -9 "$victim"
done
ended "a worker that dies again and again" 69
check "and the cause is said" grep -q "worker 1 was killed by signal 9, also after 2 restarts (max_restarts)" "$work/log"

# The first process of a container has no default actions: what it does not handle is lost.
if ! unshare --pid --fork --mount-proc true 2>/dev/null; then
    echo "skip the first process of a container (no pid namespace here)"
    exit 0
fi
contained() { # NAME COMMAND...: its process of number 1 gets a SIGTERM.
    local name=$1 first
    shift
    begin unshare --pid --fork --kill-child --mount-proc "$@"
    first=$(pgrep -P "$pid")
    kill -TERM "$first"
    ended "$name" 143
    check "$name: after a checkpoint" grep -q "stopped after a checkpoint" "$work/log"
}
contained "first process of a container, alone" "$build/shardbert" train "$work/job.yaml" --set threads=1
contained "first process of a container, launched" "${launched[@]}"
