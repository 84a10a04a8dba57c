#!/usr/bin/env bash
# `shardbert status` says how a run is in each of its states: not begun, running, restarted, stopped, killed, damaged, done.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
set +e # commands that fail are what is looked at here
need_shared
small_data

out=$work/out
micro_job job mlm "$out" "save_steps: 5" "logging_steps: 1" "save_total_limit: 4"
sed -i 's/^max_steps: .*/max_steps: 100000/' "$work/job.yaml"
status() { "$build/shardbert" status "$out" >"$work/status" 2>&1; }

# says WORDS [TRIES]: waits until status says so.
says() {
    local i
    for ((i = 0; i < ${2:-600}; i++)); do
        status
        grep -qE "$1" "$work/status" && return 0
        read -rt 0.1 <> <(:)
    done
    sed 's/^/# /' "$work/status"
    return 1
}
begin() { # begin: the run, in the background
    setsid "$build/shardbert" train "$work/job.yaml" --servers 2 --workers 2 --set threads=1 >"$work/log" 2>&1 &
    run_pid=$!
}

# Two that wait for a coordinator which does not come; what they said is looked at in the end.
alone=("$work/job.yaml" --servers 2 --workers 1 --index 1 --set threads=1 --set join_timeout_s=1)
"$build/shardbert-ps" "${alone[@]}" --address "ipc://$work/nobody" --set "output_dir=$work/no-1" >"$work/lone-ps" 2>&1 &
lone=($!)
"$build/shardbert-worker" "${alone[@]}" --address "ipc://$work/nobody" --set "output_dir=$work/no-2" >"$work/lone-worker" 2>&1 &
lone+=($!)

exits "before the start" 66 "no run has begun there" "$build/shardbert" status "$out"
mkdir -p "$out"
exits "an empty folder" 66 "no run has begun in" "$build/shardbert" status "$out"
exits "a file" 64 "expected an output_dir, or host:port" "$build/shardbert" status "$work/job.yaml"

begin
check "running: step, members, checkpoints" says "trains: step [1-9].* of 100000"
check "and the newest checkpoint, which is whole" says "the newest is of step [1-9].* and whole; the next is due at step"
is "each worker has its line" "$(grep -cE '^worker [01] .*(computing|waiting)' "$work/status")" 2
is "each server, too" "$(grep -cE '^server [01] .* serving ' "$work/status")" 2
address=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' "$out/.coordinator.json")
exits "the same by its address" 0 ": step" "$build/shardbert" status "$address"
is "and for programs" "$("$build/shardbert" status --json "$out" |
    python3 -c 'import json, sys; s = json.load(sys.stdin); print(s["state"], len(s["run"]["workers"]), s["run"]["term"])')" \
    "running 2 1"
kill -9 "$(pgrep -P "$run_pid" -f -- '--index=1.*--bind')"
check "a server that was killed is in the account" says "term 2"
check "with what was done again" grep -qE "lost and done again: 1 server came back; [0-9]+ steps? w.* done again" "$work/status"
kill -TERM "$run_pid"
wait "$run_pid"
check "stopped: where it goes on" says "unfinished: it has stopped; the same command goes on from step [1-9]" 1
check "and what had been lost" grep -q "lost and done again: 1 server came back" "$work/status"
[ -e "$out/.coordinator.json" ] && not_ok "nothing is left that says it runs"

newest=$(find "$out" -maxdepth 1 -name 'checkpoint-*' | sort -V | tail -1)
cp -a "$newest" "$work/kept"
printf x >>"$newest/state-1-of-2.safetensors"
check "damaged: it is named" says "the checkpoint of step ${newest##*-} cannot be used: .*bytes, expected" 1
check "and the one before it is taken" grep -qE "goes on from step [1-9]" "$work/status"
rm -r "$newest"
mv "$work/kept" "$newest"

begin
check "resumed: the account goes on" says "trains: .* term [3-9]"
check "with what was before" grep -q "1 server came back" "$work/status"
kill -9 -- -"$run_pid"
wait "$run_pid" 2>/dev/null
check "killed with all of it" says "unfinished: it was killed; the same command goes on from step [1-9]" 1

sed -i 's/^max_steps: .*/max_steps: 4/' "$work/job.yaml"
run finished "$build/shardbert" train "$work/job.yaml" --fresh
check "done: the results" says "^finished: the model is in" 1
check "and an account of its own" grep -q "nothing was lost" "$work/status"

for role in ps worker; do
    rc=0
    wait "${lone[0]}" || rc=$?
    lone=("${lone[@]:1}")
    is "a lone $role gives up" "$rc" 69
    check "having said for whom it waits" grep -q "waits for the coordinator at ipc://.* since . s, and gives up" "$work/lone-$role"
    check "and whose setting ends it" grep -q "nothing heard from the coordinator at ipc://.* (join_timeout_s)" "$work/lone-$role"
done
