#!/usr/bin/env bash
# Peak memory of a training run does not grow with the corpus: 1x and 20x the text, preparation included.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data

# corpus TIMES: the small text over and over, every line made different by a number.
corpus() {
    python3 - "$work/data/train.txt" "$1" <<'PY' >"$work/data/big-$1.txt"
import sys
lines = open(sys.argv[1], encoding="utf-8").read().splitlines()
for i in range(40 * int(sys.argv[2])):
    for line in lines:
        print(i, line)
PY
}

# peak TIMES: KiB of a run on that corpus.
peak() {
    small_job "big-$1" mlm "$work/big-$1" "mlm_grouping: line"
    sed -i "s#^train_file: .*#train_file: data/big-$1.txt#" "$work/big-$1.yaml"
    python3 tests/support/peak_memory.py "$build/shardbert" train "$work/big-$1.yaml" --quiet 2>"$work/big-$1.log"
}

corpus 1
corpus 20
small=$(peak 1) big=$(peak 20)
echo "# $(stat -c %s "$work/data/big-1.txt") bytes: $small KiB; $(stat -c %s "$work/data/big-20.txt") bytes: $big KiB"
# 4 MiB is a quarter of the growth of the smallest thing that could be held for each sample of 20x (320,000 texts, 50 bytes).
check "20 times the text, the same peak memory" test "$big" -le $((small + 4096))

# The same, enforced: a control group that has room for the small run and 16 MiB more. What the page cache holds counts
# there too, and can be taken back.
group=/sys/fs/cgroup/memory/shardbert-$$
if mkdir "$group" 2>/dev/null && echo $(((small + 16384) * 1024)) 2>/dev/null >"$group/memory.limit_in_bytes"; then
    rm -rf "$work/cache" "$work/big-20"
    rc=0
    (echo "$BASHPID" >"$group/cgroup.procs" && exec "$build/shardbert" train "$work/big-20.yaml" --quiet) || rc=$?
    check "20 times the text inside a memory limit of $((small + 16384)) KiB" test "$rc" = 0
    rmdir "$group" || true
else
    echo "skip no control group of this kernel's memory controller can be made here"
fi
