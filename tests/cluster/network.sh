#!/usr/bin/env bash
# A job of 2 servers and 3 workers, each on a host of its own, whose network goes wrong: cut between some of them, in one
# direction only, lossy, slow, or gone with a host.  It ends with the bits of an undisturbed run, or with a clear sentence.
#
#   NETWORK=all   every fault, instead of a short choice; or the name of a function below
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

# between LOW HIGH: a number of the seed, in $number (in a subshell bash would draw it anew).
between() { number=$(($1 + RANDOM % ($2 - $1 + 1))); }
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
    between 20 200
    reach "$number"
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
    between 3 6
    parted "coordinator and all parted" "$number" coordinator_alone
    "$all" || return 0
    between 4 10
    parted "worker and server 1 parted" "$number" part 2 4
    between 4 10
    parted "worker and coordinator parted" "$number" part 1 4
    between 4 10
    parted "server 1 and coordinator parted" "$number" part 1 2
    between 3 8
    parted "server 1 hears worker, which does not hear it" "$number" part_way 2 4
    between 4 10
    parted "worker hears server 1, which does not hear it" "$number" part_way 4 2
    between 4 10
    parted "server 1 hears coordinator, which does not hear it" "$number" part_way 2 1
    between 4 10
    parted "coordinator hears server 1, which does not hear it" "$number" part_way 1 2
}

# gives_up NAME WHO WORDS: it ends by itself, for a lost peer or to be tried again, and says so.
gives_up() {
    leaves "$2"
    case "$code" in 69 | 75) ;; *) not_ok "$1: $2 gives up" "exit code $code" ;; esac
    check "$1: $2 says why" grep -qE "$3" "$work/$2.log"
}

# The coordinator's host is cut off for ever.
for_ever() {
    local who name="the coordinator cut off for ever"
    start micro --set step_timeout_s=3 --set save_timeout_s=3
    between 20 200
    reach "$number"
    coordinator_alone
    for who in ps-1 worker-0 worker-1 worker-2; do
        gives_up "$name" "$who" 'nothing heard from the coordinator.* for [0-9]+ s \(step_timeout_s\)'
    done
    gives_up "$name" ps-0 'no progress for 3 s \(step_timeout_s\) in step [0-9]+'
    is "$name: no process is left" "$(alive)" 0
    heal
}

# A worker's host vanishes and does not come back.
worker_vanished() {
    start micro --set step_timeout_s=5 --set worker_timeout_s=2
    between 20 200
    reach "$number"
    vanish 5
    ends "a worker's host vanished" worker-2
    gives_up "a worker's host vanished" worker-2 'nothing heard from the coordinator'
    come_back 5
}

# The host of server 1 vanishes, and a supervisor starts the server on another one.  Then the old one comes back.
server_replaced() {
    local i name="server 1 replaced while its host is cut off"
    start micro --set worker_timeout_s=2 --set step_timeout_s=60
    between 20 200
    reach "$number"
    vanish 2
    pids[old]=${pids[ps-1]}
    mv "$work/ps-1.log" "$work/old.log"
    role ps 1 6
    for ((i = 0; i < 1200; i++)); do
        grep -q "term 2" "$work/ps-0.log" && break
        kill -0 "${pids[ps-1]}" 2>/dev/null || role ps 1 6 # as a supervisor would
        read -rt 0.1 <> <(:)
    done
    come_back 2
    gives_up "$name" old 'has the place of server 1|nothing heard from the coordinator'
    unset 'pids[old]'
    ends "$name"
    check "$name: says what becomes of it" grep -qE "server 1 .* \(term 2\)" "$work/ps-0.log"
}

# By mpirun, which reaches the other hosts by an agent in place of ssh.
mpirun_over_hosts() {
    local i rc=0 name="mpirun over 3 hosts"
    out=$work/out
    rm -rf "$out"
    cat >"$work/agent.sh" <<'AGENT'
#!/usr/bin/env bash
# agent.sh [-OPTION...] ADDRESS COMMAND...: what ssh would do, for the namespaces of hosts.sh.
while [[ $1 == -* ]]; do shift; done
host=${1##*.}
shift
exec ip netns exec "$HOSTS_ID-$host" unshare --uts sh -c "hostname host$host; $*"
AGENT
    chmod +x "$work/agent.sh"
    for i in 1 2 3; do echo "10.77.0.$i slots=2"; done >"$work/hosts"
    (on 1 env HOSTS_ID="$hosts_id" timeout 200 mpirun --mca plm_rsh_agent "$work/agent.sh" --mca btl tcp,self,vader \
        --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 --hostfile "$work/hosts" \
        --map-by node --bind-to none -np 2 "$build/shardbert-ps" "$work/micro.yaml" --insecure --set threads=1 \
        --set "output_dir=$out" : -np 3 "$build/shardbert-worker" "$work/micro.yaml" --insecure --set threads=1 \
        --set "output_dir=$out") >"$work/mpirun.log" 2>&1 </dev/null || rc=$?
    is "$name: the run ends well" "$rc" 0
    [ "$rc" = 0 ] || tail -n 8 "$work/mpirun.log" | sed 's/^/# /'
    is "$name: no process is left" "$(alive)" 0
    check "$name: same bits" same_weights "$work/micro-whole" "$out"
}

# peaks: the most memory that each role has had, as "ps-0 31 ps-1 30 ..." in MiB.
peaks() {
    local who
    for who in "${!pids[@]}"; do
        awk -v who="$who" '/^VmHWM/ { printf "%s %d ", who, $2 / 1024 }' "/proc/${pids[$who]}/status" 2>/dev/null
    done
}
# largest_growth BEFORE AFTER: of two such lines.
largest_growth() {
    awk -v a="$1" -v b="$2" 'BEGIN { n = split(a, x, " "); for (i = 1; i < n; i += 2) first[x[i]] = x[i + 1]
        n = split(b, x, " "); for (i = 1; i < n; i += 2) if (x[i] in first) { d = x[i + 1] - first[x[i]]; if (d > most) most = d }
        print most + 0 }'
}

# spoiled NAME JOB COMMAND...: on a network that is bad from the beginning; memory and lost are of this run.
spoiled() {
    local name=$1 job=$2 at seen
    shift 2
    "$@"
    at=$(now)
    start "$job"
    memory=
    while kill -0 "${pids[ps-0]}" 2>/dev/null; do
        seen=$(peaks)
        [ "$(wc -w <<<"$seen")" -lt 10 ] || memory=$seen # all five are there
        read -rt 0.2 <> <(:)
    done
    lost=$(grep -c 'its share goes to' "$work/ps-0.log")
    echo "# $name: $(since "$at") s; workers lost: $lost; $(grep -ho 'retries=[0-9]*' "$work"/worker-*.log | tr '\n' ' ')MiB: $memory"
    ends "$name"
}
bad_line() { delay 50 0 && loss 1; }

bad_networks() {
    local clean
    job bigmlm mlm 3
    spoiled "a good network" bigmlm true
    clean=$memory
    spoiled "10 Mbit/s" bigmlm rate 10
    memory=$(largest_growth "$clean" "$memory")
    echo "# 10 Mbit/s: memory grows by $memory MiB"
    check "10 Mbit/s: memory grows by 64 MiB at most" [ "$memory" -le 64 ]
    job slow classify 60
    spoiled "5 % lost" slow loss 5
    if can_delay; then
        spoiled "100 ms there and back, 1 % lost" slow bad_line
        is "100 ms there and back, 1 % lost: nobody is lost" "$lost" 0
        spoiled "50 ms +- 20 ms, out of order" slow delay 50 20
    else
        echo "skip delayed packets: $why"
    fi
}

steps=700
"$all" && steps=1500
[ "${NETWORK:-}" = bad ] || job micro classify "$steps"
case "${NETWORK:-}" in
all) parts && for_ever && worker_vanished && server_replaced && mpirun_over_hosts && bad_networks ;;
bad) bad_networks ;;
?*) "$NETWORK" ;;
*) parts && for_ever && server_replaced && mpirun_over_hosts ;;
esac
