#!/usr/bin/env bash
# Roles that somebody else starts, by the same command line each time, and whose process has the number 1 each time, as in
# a container: one that is killed and started again is a new one to the others, and the run ends with the same bits.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
if ! unshare --pid --fork --mount-proc true 2>/dev/null; then
    echo "skip roles in containers (no pid namespace here)"
    exit 0
fi
small_data
set +e # what fails is what is looked at here

whole=$work/whole out=$work/out
micro_job whole classify "$whole" "logging_steps: 1" "save_steps: 20" "push_timeout_ms: 300" \
    "join_timeout_s: 60" "worker_timeout_s: 2"
sed -i 's/^max_steps: .*/max_steps: 400/' "$work/whole.yaml"
sed "s#^output_dir: .*#output_dir: $out#" "$work/whole.yaml" >"$work/job.yaml"
run whole "$build/shardbert" train "$work/whole.yaml" --set threads=1

# keep NAME COMMAND...: starts it, and again after each kill -9, until it ends by itself; its code is in $work/NAME.code.
keep() {
    local name=$1 rc i
    shift
    for ((i = 0; i < 60; i++)); do
        [ "$i" = 0 ] || read -rt 0.5 <> <(:) # a worker is not needed before the one that died is missed
        rc=0
        unshare --pid --fork --kill-child --mount-proc "$@" >>"$work/$name.log" 2>&1 </dev/null || rc=$?
        case "$rc" in 137 | 1 | 75) ;; *) break ;; esac # 1: what unshare itself says of a child that was killed
    done
    echo "$rc" >"$work/$name.code"
}
ports=$(/usr/bin/python3 -c 'import socket
held = [socket.socket() for _ in range(2)]
for s in held: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in held))')
read -r first second <<<"$ports"
roles=("$work/job.yaml" --set threads=1 --servers 2 --workers 1 --address "tcp://127.0.0.1:$first")
keep server-0 "$build/shardbert-ps" "${roles[@]}" --index 0 &
keep server-1 "$build/shardbert-ps" "${roles[@]}" --index 1 --bind "tcp://127.0.0.1:$second" &
keep worker "$build/shardbert-worker" "${roles[@]}" --index 0 &

# kill_at STEP WORDS: kill -9 of the process with these words on its command line, after this step.
kill_at() {
    local i victim
    for ((i = 0; i < 3000; i++)); do
        grep -qE "(^| )step=$1 " "$work/server-0.log" && break
        read -rt 0.01 <> <(:)
    done
    victim=$(pgrep -f "^$build/$2") || echo "# nobody to kill: $2"
    kill -9 "$victim"
}
kill_at 50 "shardbert-ps $work/job.yaml .*--index 1 "
kill_at 110 "shardbert-worker $work/job.yaml "
kill_at 190 "shardbert-ps $work/job.yaml .*--index 0"
wait
for name in server-0 server-1 worker; do
    is "$name: code" "$(cat "$work/$name.code")" 0
    [ "$(cat "$work/$name.code")" = 0 ] || tail -5 "$work/$name.log" | sed 's/^/# /'
done
check "same bits" same_weights "$whole" "$out"
