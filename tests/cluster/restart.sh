#!/usr/bin/env bash
# A process that is killed is started again: a worker takes its place back, a server or the coordinator takes all back
# to the newest checkpoint under a new term.  The run ends well, with the same bits, and says what was lost.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # what fails is what is looked at here

whole=$work/whole out=$work/out
small_job whole classify "$whole" "logging_steps: 1" "save_steps: 10" "push_timeout_ms: 300" "join_timeout_s: 20" \
    "restart_delay_ms: 50"
sed -i 's/^max_steps: .*/max_steps: 60/' "$work/whole.yaml"
sed "s#^output_dir: .*#output_dir: $out#" "$work/whole.yaml" >"$work/job.yaml"
run whole "$build/shardbert" train "$work/whole.yaml" --set threads=1

# child PARENT NAME INDEX: the pid of the child whose program is NAME and whose --index is INDEX.
child() { pgrep -P "$1" -f "/shardbert-$2 .*--index=$3 "; }

# survives NAME WORDS LOSSES [WHO INDEX STEP]...: kills each at its step, in this order.
survives() {
    local name=$1 words=$2 losses=$3 log=$work/log pid rc=0 i victim
    shift 3
    rm -rf "$out" "$work/ledger"
    : >"$log"
    "$build/shardbert" train "$work/job.yaml" --servers 2 --workers 2 --set threads=1 \
        --set "ledger_dir=$work/ledger" >"$log" 2>&1 </dev/null &
    pid=$!
    while [ $# -gt 0 ]; do
        for ((i = 0; i < 1200; i++)); do
            grep -qE "(^| )step=$3 " "$log" && break
            read -rt 0.02 <> <(:)
        done
        victim=$(child "$pid" "$1" "$2")
        kill -9 "$victim" || echo "# nobody to kill: $1 $2"
        shift 3
    done
    wait "$pid" || rc=$?
    is "$name: the run ends well" "$rc" 0
    [ "$rc" = 0 ] || sed 's/^/# /' "$log" | tail -20
    check "$name: says who is gone and what becomes of it" grep -q "$words" "$log"
    check "$name: says at the end what was lost" grep -q "$losses" "$log"
    check "$name: same bits" same_weights "$whole" "$out"
    check "$name: each slot once" ledger_holds "$work/ledger" 60
}

survives "worker killed" "worker 1 was started again" "1 worker came back" \
    worker 1 12
# When the first checkpoint is complete, however long that took.
survives "server killed" "server 1 was started again: all go back from step .* to the checkpoint of step [1-5]0 (term 2)" \
    "1 server came back" ps 1 "10 folder=[^ ]*"
survives "coordinator killed" "server 0 .* was killed by signal 9; it is started again" \
    "the coordinator came back" ps 0 14
survives "server killed before a checkpoint" "server 1 was started again: .* to the .* (term 2)" \
    "1 server came back" ps 1 4
survives "all but the launcher killed, one by one" "was started again" "2 workers, 2 servers and the coordinator came back" \
    worker 0 5 ps 1 12 worker 1 22 ps 0 32 ps 1 45
