#!/usr/bin/env bash
# A job of 2 servers and 3 workers, each on a host of its own, whose network goes wrong: cut between some of them, in one
# direction only, lossy, slow, or gone with a host.  It ends with the bits of an undisturbed run, or with a clear sentence.
#
#   NETWORK=all   every fault, instead of a short choice
#   SEED=N        other moments and lengths
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
# shellcheck source=tests/support/hosts.sh
source "$(dirname "$0")/../support/hosts.sh"
need_shared
set +e # what fails is what is looked at here
need_hosts
small_data
hosts_begin 6
RANDOM=${SEED:-1}
all=false
[ "${NETWORK:-}" = all ] && all=true

# between LOW HIGH: a number of the seed.
between() { echo $(($1 + RANDOM % ($2 - $1 + 1))); }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }

# job NAME TASK STEPS [LINE...]: $work/NAME.yaml, and its undisturbed run in $work/NAME-whole.
job() {
    local name=$1 task=$2 steps=$3 kind=micro_job
    shift 3
    case "$name" in big*) kind=small_job ;; esac
    $kind "$name" "$task" "$work/$name-whole" "logging_steps: 1" "save_steps: 200" "$@"
    sed -i "s/^max_steps: .*/max_steps: $steps/" "$work/$name.yaml"
    run "$name-whole" "$build/shardbert" train "$work/$name.yaml" --set threads=1
}

# role WHO INDEX HOST [ARGUMENT...]: starts one process of the job that runs; ps 0 is the coordinator, on host 1.
role() {
    local who=$1 index=$2 host=$3
    shift 3
    on "$host" "$build/shardbert-$who" "$work/$running.yaml" --servers 2 --workers 3 --address tcp://10.77.0.1:7000 \
        --insecure --index "$index" --set threads=1 --set "output_dir=$out" --set metrics_address=off "$@" \
        >>"$work/$who-$index.log" 2>&1 </dev/null &
    pids[$who-$index]=$!
}

# start JOB [ARGUMENT...]: servers on host 1 and 2, workers on host 3 to 5.
declare -A pids
start() {
    running=$1 out=$work/out
    shift
    rm -rf "$out" "$work"/ps-*.log "$work"/worker-*.log
    heal
    pids=()
    local i
    for i in 0 1; do role ps $i $((i + 1)) "$@"; done
    for i in 0 1 2; do role worker $i $((i + 3)) "$@"; done
}

step() { grep -oE '(^| )step=[0-9]+ ' "$work/ps-0.log" 2>/dev/null | tail -1 | tr -dc 0-9; }
# reach STEP: waits until it is done, or the run is over; false if that takes minutes.
reach() {
    local i
    for ((i = 0; i < 2400; i++)); do
        [ "$(step)" -ge "$1" ] 2>/dev/null && return 0
        kill -0 "${pids[ps-0]}" 2>/dev/null || return 0
        read -rt 0.05 <> <(:)
    done
    return 1
}

# leaves WHO: the exit code of a process, in code; it is killed if it does not end by itself within minutes.
leaves() {
    local i pid=${pids[$1]}
    for ((i = 0; i < 2400; i++)); do
        kill -0 "$pid" 2>/dev/null || break
        read -rt 0.05 <> <(:)
    done
    if [ "$i" = 2400 ]; then
        kill -9 "$pid"
        echo "# $1 does not end"
    fi
    wait "$pid"
    code=$?
}

# ends NAME [WHO...]: the run ends well, with the same bits, and leaves no process; but for those, of whom nothing is said.
ends() {
    local name=$1 who wrong=
    shift
    for who in "${!pids[@]}"; do
        case " $* " in *" $who "*) continue ;; esac
        leaves "$who"
        [ "$code" = 0 ] || wrong+=" $who: $code"
    done
    is "$name: the run ends well" "$wrong" ""
    [ -z "$wrong" ] || tail -n 4 "$work"/ps-*.log "$work"/worker-*.log | sed 's/^/# /'
    for who in "$@"; do leaves "$who"; done
    heal
    is "$name: no process is left" "$(alive)" 0
    check "$name: same bits" same_weights "$work/$running-whole" "$out"
}

# parted NAME SECONDS COMMAND...: a fault from some step on, healed after a while.
parted() {
    local name=$1 seconds=$2 at from before
    shift 2
    start micro
    reach "$(between 20 200)"
    "$@"
    from=$(step)
    sleep "$seconds"
    before=$(step)
    at=$(now)
    heal
    reach $((before + 1))
    echo "# $name for $seconds s: resumed after $(since "$at") s; step $from to $before meanwhile"
    ends "$name"
}
coordinator_alone() {
    local i
    for i in 2 3 4 5; do part 1 "$i"; done
}

parts() {
    job micro classify 1500
    parted "coordinator and all parted" "$(between 3 8)" coordinator_alone
    parted "server 1 hears worker, which does not hear it" "$(between 3 8)" part_way 2 4
    "$all" || return 0
    parted "worker and server 1 parted" "$(between 4 10)" part 2 4
    parted "worker and coordinator parted" "$(between 4 10)" part 1 4
    parted "server 1 and coordinator parted" "$(between 4 10)" part 1 2
    parted "worker hears server 1, which does not hear it" "$(between 4 10)" part_way 4 2
    parted "coordinator hears server 1, which does not hear it" "$(between 4 10)" part_way 1 2
    parted "server 1 hears coordinator, which does not hear it" "$(between 4 10)" part_way 2 1
}

parts
