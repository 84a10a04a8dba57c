#!/usr/bin/env bash
# Whatever arrives at the coordinator's port: the run goes on, to the same bits, and what was none of ours is counted.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e

small_job whole classify "$work/whole" "logging_steps: 50"
sed -i 's/^max_steps: .*/max_steps: 1600/' "$work/whole.yaml"
sed "s#^output_dir: .*#output_dir: $work/out#" "$work/whole.yaml" >"$work/job.yaml"
run whole "$build/shardbert" train "$work/whole.yaml" --set threads=1

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port) page=$(free_port)
common=("$work/job.yaml" --servers 1 --workers 2 --address="tcp://127.0.0.1:$port" --set threads=1)
timeout 200 "$build/shardbert-ps" "${common[@]}" --index 0 --set "metrics_address=127.0.0.1:$page" >"$work/ps.log" 2>&1 &
server=$!
python3 tests/support/throw_garbage.py "$port" 60 >"$work/thrown" &
thrower=$!
# counted: messages that the server has refused so far; nothing if it does not answer.
counted() {
    python3 -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode())' \
        "http://127.0.0.1:$page/metrics" 2>/dev/null | sed -nE 's/^shardbert_messages_refused_total.* ([0-9]+)$/\1/p'
}
refused=0
# Much has come before the workers do, and more comes meanwhile.
for ((i = 0; i < 300 && refused < 50; i++)); do
    read -rt 0.1 <> <(:)
    now=$(counted)
    refused=${now:-$refused}
done
pids=()
for i in 0 1; do
    timeout 200 "$build/shardbert-worker" "${common[@]}" --index $i >"$work/worker-$i.log" 2>&1 &
    pids[i]=$!
done
while kill -0 "$server" 2>/dev/null; do
    now=$(counted)
    refused=${now:-$refused}
    read -rt 0.5 <> <(:)
done
rc=0
wait "$server" || rc=$?
wait "${pids[@]}" "$thrower"
read -r connections messages answered <"$work/thrown"
echo "# $connections connections, $messages messages, $refused refused messages, $answered strangers answered"
is "garbage at the port: the run ends well" "$rc" 0
check "garbage at the port: same bits" same_weights "$work/whole" "$work/out"
check "garbage at the port: it was thrown" test "${connections:-0}" -ge 5
check "garbage at the port: it is counted" test "$refused" -ge 5
check "garbage at the port: a stranger hears why" test "${answered:-0}" -ge 1
