#!/usr/bin/env bash
# A network that loses, repeats, delays, replays, cuts and falsifies whole messages: the run ends all
# the same, with the bits of a run without any trouble.
# SEED and CHAOS (thousandths: lose:repeat:hold:replay:cut:flip) choose another network.  With DEEDS=N longer runs follow each
# other until N messages were repeated or replayed.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e

micro_job job classify "$work/whole" "push_timeout_ms: 100" "save_steps: 10"
sed -i 's/^max_steps.*/max_steps: 40/' "$work/job.yaml"
run whole "$build/shardbert" train "$work/job.yaml" --set threads=1

# storm SEED RATES: 2 servers, 3 workers; the deeds of all processes are added up in $work/deeds.
storm() {
    rm -rf "$work/storm" "$work/deeds" "$work/ledger"
    SB_CHAOS=$1:$2 SB_CHAOS_LOG="$work/deeds" LD_PRELOAD="$build/tests/chaos.so" \
        run "storm-$1" timeout -k 5 120 "$build/shardbert" train "$work/job.yaml" --servers 2 --workers 3 \
        --set threads=1 --set "output_dir=$work/storm" --set "ledger_dir=$work/ledger" && same_weights "$work/whole" "$work/storm"
}

seed=${SEED:-1}
for rates in ${CHAOS:-20:20:20:20:0:0 20:20:20:20:20:20 50:100:50:30:20:20}; do
    check "same bits over a network of $rates" storm "$seed" "$rates"
    check "each slot once over a network of $rates" ledger_holds "$work/ledger" 40
    deeds=$(awk '{for (i = 2; i <= NF; i++) {split($i, a, "="); n += a[2]}} END {print n + 0}' "$work/deeds")
    if [ "$deeds" -ge 50 ]; then ok "$rates: $deeds deeds were done"; else not_ok "$rates: $deeds deeds were done"; fi
    seed=$((seed + 1))
done

# Every message comes twice or again much later, now and then not at all: nothing may be counted twice, or be missing.
if [ "${DEEDS:-0}" -gt 0 ]; then
    sed -i 's/^max_steps.*/max_steps: 1500/' "$work/job.yaml"
    run whole "$build/shardbert" train "$work/job.yaml" --fresh --set threads=1
    again=0 runs=0 same=0
    while [ "$again" -lt "$DEEDS" ] && [ "$runs" -lt 1000 ]; do
        storm "$seed" 5:400:20:300:0:0 && ledger_holds "$work/ledger" 1500 && same=$((same + 1))
        again=$((again + $(awk '{for (i = 2; i <= NF; i++) {split($i, a, "="); if (a[1] ~ /^re/) n += a[2]}} END {print n + 0}' "$work/deeds")))
        runs=$((runs + 1)) seed=$((seed + 1))
        echo "# $again messages were repeated or replayed in $runs runs"
    done
    is "$again repeated or replayed messages: runs with the same bits" "$same" "$runs"
fi
