#!/usr/bin/env bash
# The audit of a run, and that it would find something: with messages repeated, held back and replayed, and with
# servers killed in the middle of steps, every slot of every step is in the weights exactly once; a server that does
# not know duplicates, or does not look at the term, is found out; so is one whose manifests are not atomic.
# SEED chooses another storm.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # what fails is what is looked at here

ledgers=$work/ledger seed=${SEED:-1} tries=10
# Four workers with a slot each, which takes them most of the time: who is stopped is in the middle of one.
small_job job classify "$work/whole" "push_timeout_ms: 300" "save_steps: 1" "restart_delay_ms: 20" "join_timeout_s: 20" \
    "step_timeout_s: 60" "speculate_after_s: 0" "eval_steps: 1000"
sed -i -e 's/^max_steps: .*/max_steps: 8/' -e 's/^slots: .*/slots: 4/' -e 's/^batch_size: .*/batch_size: 400/' "$work/job.yaml"
run whole "$build/shardbert" train "$work/job.yaml" --set threads=1

# wrote COUNT WORDS: waits until such lines are in the ledgers of the servers.
wrote() {
    local i
    for ((i = 0; i < 3000; i++)); do
        [ "$(cat "$ledgers"/server-*.ledger 2>/dev/null | grep -cE "$2")" -ge "$1" ] && return 0
        kill -0 "$launcher" 2>/dev/null || return 1
        read -rt 0.02 <> <(:)
    done
    return 1
}
children() { pgrep -P "$launcher" -f "/shardbert-$1 .*--index=$2 "; }

# strike SERVER STEP: while the workers compute that step, they stand still, and the server is killed.  When all
# servers have begun again with the same step, the workers go on, and send what they have of the term before.
# (A new coordinator waits for the workers: they are left alone then.)
strike() {
    local stopped begun
    wrote 1 " serve .* step=$2 " || return
    read -rt 0.05 <> <(:)
    begun=$(cat "$ledgers"/server-*.ledger | grep -c " begin ")
    if [ "$1" = 0 ]; then
        kill -9 "$(children ps 0)"
        wrote $((begun + 2)) " begin " # before the next strike, which would keep the workers from it
        return
    fi
    mapfile -t stopped < <(children worker '[0-9]')
    kill -STOP "${stopped[@]}"
    kill -9 "$(children ps "$1")"
    wrote $((begun + 2)) " begin "
    kill -CONT "${stopped[@]}"
}

# storm PROGRAMS SEED RATES [SERVER STEP]...: a run of those programs over such a network (chaos.c); which server is
# killed in which step.
storm() {
    local programs=$1 storm_seed=$2 rates=$3 rc=0
    shift 3
    rm -rf "$work/out" "$ledgers"
    SB_CHAOS=$storm_seed:$rates LD_PRELOAD="$build/tests/chaos.so" "$programs/shardbert" train "$work/job.yaml" \
        --servers 2 --workers 4 --set threads=1 --set max_restarts=20 --set "output_dir=$work/out" \
        --set "ledger_dir=$ledgers" >"$work/storm.log" 2>&1 </dev/null &
    launcher=$!
    (sleep 240 && kill -KILL "$launcher") 2>/dev/null &
    watch=$!
    while [ $# -gt 0 ]; do
        strike "$1" "$2"
        shift 2
    done
    wait "$launcher" || rc=$?
    pkill -P "$watch" # its sleep
    wait "$watch" 2>/dev/null
    return "$rc"
}

repeats=0:60:20:30:0:0
# found NAME WORDS STRIKE...: the audit of the build without NAME fails, of some storm, and says such words.
found() {
    local name=$1 words=$2 i
    shift 2
    for ((i = 0; i < tries; i++)); do
        storm "$build/tests/without-$name" $((seed + i)) "$repeats" "$@"
        [ -d "$ledgers" ] && ! ledger_holds "$ledgers" && grep -qE "$words" "$work/ledger.log" && return 0
    done
    return 1
}

check "a run whose servers are killed in the middle of steps ends well" storm "$build" "$seed" "$repeats" 1 2 0 4 1 6
[ -d "$work/out" ] && check "with the same bits" same_weights "$work/whole" "$work/out"
check "and each slot once" ledger_holds "$ledgers" 8
check "pushes of terms that were over came, and were refused" grep -qE "[1-9][0-9]* stale" "$work/ledger.log"
check "and pushes that had come before" grep -qE "[1-9][0-9]* duplicate" "$work/ledger.log"
check "a server without de-duplication is found out" found dedup "applied twice"
check "a server that does not look at terms is found out" found fencing "a push of term [0-9]+, step [0-9]+ was applied" \
    1 2 1 4 1 6

# The same in the simulator (sim_ledger.h), whose crashes come at the same moments whatever the load.
simulated() {
    local first
    for ((first = 176; first < 1000; first += 25)); do
        SEEDS=$first-$((first + 24)) timeout 300 "$build/tests/without-$1/crash_test" >"$work/sim.log" 2>&1
        grep -qE "$2" "$work/sim.log" && return 0
    done
    return 1
}
check "nor does a simulated cluster hide it" simulated fencing "ledger: .* was applied in term"

# Manifests: what a power cut may leave (crash_states.sh), and a byte that has changed.
# As there, each of these checkpoints has been waited for by the end, however busy the machine.
micro_job saved classify "$work/kept" "save_steps: 2" "save_total_limit: 2" "eval_steps: 2" \
    "load_best_model_at_end: true" "metric_for_best_model: loss"
sed -i 's/^learning_rate: .*/learning_rate: 1.0e-4/' "$work/saved.yaml"
# record PROGRAMS: a run whose checkpoints are recorded in $work/record.
record() {
    rm -rf "$work/kept" "$work/record"
    mkdir "$work/kept"
    SB_CALLS_RECORD="$work/record" SB_CALLS_UNDER="$work/kept" LD_PRELOAD="$build/tests/calls.so" \
        run record "$1/shardbert" train "$work/saved.yaml" --servers 1 --workers 1 --set threads=1
}
power_cuts() {
    /usr/bin/python3 tests/fault/crash_states.py "$work/record" "$work/kept" "$1/newest_checkpoint" 300 "$seed" \
        >"$work/cuts.log" 2>&1
}
# newest PROGRAMS: what a run would resume from when one byte of the newest checkpoint has changed.
newest() {
    local file=$work/kept/checkpoint-12/state-1-of-1.safetensors
    printf '\377' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") / 2)) conv=notrunc status=none
    "$1/newest_checkpoint" <<<"$work/kept"
}
record "$build"
check "power cuts lose no checkpoint" power_cuts "$build/tests"
# A save that comes due while another is written is left out: which one is the last but one, the disk decides.
before=$(cd "$work/kept" && printf "%s\n" checkpoint-* | sort -V | tail -2 | head -1)
is "a byte that has changed is noticed" "$(newest "$build/tests")" "$before"
broken=$build/tests/without-atomic-manifest
record "$broken"
power_cuts "$broken"
check "manifests that are not atomic are found out" grep -q "although step .* was saved" "$work/cuts.log"
sed 's/^/# /' "$work/cuts.log"
is "and that nobody verifies them" "$(newest "$broken")" checkpoint-12
