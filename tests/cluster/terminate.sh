#!/usr/bin/env bash
# SIGTERM at a random moment of a run, also while it starts, saves or writes the model: the code is 143 (0 if it had
# finished), nobody is left, and the same command goes on to the same bits.
#
#   TERMS=100 SEED=7 KINDS="embedded launched" bash tests/cluster/terminate.sh
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # what fails is what is looked at here

terms=${TERMS:-6} seed=${SEED:-$RANDOM}
read -ra kinds <<<"${KINDS:-embedded launched ranks}"
RANDOM=$seed
whole=$work/whole out=$work/out
micro_job whole classify "$whole" "logging_steps: 50" "save_steps: 25" "push_timeout_ms: 300" "join_timeout_s: 30"
sed -i 's/^max_steps: .*/max_steps: 300/' "$work/whole.yaml"
sed "s#^output_dir: .*#output_dir: $out#" "$work/whole.yaml" >"$work/job.yaml"
run whole "$build/shardbert" train "$work/whole.yaml" --set threads=1

# command KIND: one word a line, in the array of this name.
command_of() {
    case "$1" in
    embedded) command=("$build/shardbert" train "$work/job.yaml" --set threads=1) ;;
    launched) command=("$build/shardbert" train "$work/job.yaml" --set threads=1 --servers 2 --workers 2) ;;
    ranks)
        command=(env "SHARDBERT_BIN=$build" deploy/mpi/shardbert-mpirun --servers 2 --workers 2
            "$work/job.yaml" --set threads=1)
        ;;
    esac
}
left_behind() { pgrep -f "shardbert(-ps|-worker| train) .*$work/job.yaml"; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
await_end() { # PID
    local i
    for ((i = 0; i < 2400; i++)); do
        kill -0 "$1" 2>/dev/null || return 0
        read -rt 0.05 <> <(:)
    done
    return 1
}

# How long an undisturbed run of each kind takes on this machine, now.
declare -A takes
for kind in "${kinds[@]}"; do
    rm -rf "$out"
    command_of "$kind"
    began=$(milliseconds)
    run "$kind" "${command[@]}"
    takes[$kind]=$(($(milliseconds) - began))
done

stopped=0 finished=0 wrong=0 longest=0 slowest=
# trial KIND: true if all is as it should be.
trial() {
    local kind=$1 wait_ms pid rc=0 sockets
    rm -rf "$out"
    [ $((RANDOM % 4)) -gt 0 ] || rm -rf "$work/cache" # preparing the data is a moment, too
    command_of "$kind"
    wait_ms=$((RANDOM * ${takes[$kind]} / 32768))
    TMPDIR=$work "${command[@]}" >"$work/log" 2>&1 </dev/null &
    pid=$!
    read -rt "$((wait_ms / 1000)).$(printf %03d $((wait_ms % 1000)))" <> <(:)
    kill -TERM "$pid" 2>/dev/null
    began=$(milliseconds)
    await_end "$pid" || { echo "# $kind, SIGTERM after $wait_ms ms: does not end"; kill -9 "$pid"; }
    wait "$pid" || rc=$?
    took=$(($(milliseconds) - began))
    [ "$took" -le "$longest" ] || longest=$took slowest="$kind after $wait_ms ms"
    case "$rc" in
    143) stopped=$((stopped + 1)) ;;
    0) finished=$((finished + 1)) ;;
    *) echo "# $kind, SIGTERM after $wait_ms ms: code $rc"; tail -3 "$work/log" | sed 's/^/#   /'; return 1 ;;
    esac
    if left_behind >"$work/left"; then
        echo "# $kind, SIGTERM after $wait_ms ms: left behind $(tr '\n' ' ' <"$work/left")"
        return 1
    fi
    sockets=$(find /tmp -maxdepth 1 -name "shardbert-sockets-$pid-*")
    [ -z "$sockets" ] || { echo "# $kind, SIGTERM after $wait_ms ms: $sockets is left"; return 1; }
    run again "${command[@]}" || return 1
    same_weights "$whole" "$out" || { echo "# $kind, SIGTERM after $wait_ms ms: other bits"; return 1; }
}

for ((i = 0; i < terms; i++)); do
    trial "${kinds[i % ${#kinds[@]}]}" || wrong=$((wrong + 1))
done
echo "# SEED=$seed: $terms runs (${kinds[*]}), $stopped stopped, $finished finished, $wrong wrong; the longest took $longest ms to leave ($slowest)"
is "SIGTERM at a random moment: 143 or done, nobody left, resumed to the same bits" "$wrong" 0
