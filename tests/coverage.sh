#!/usr/bin/env bash
# Which lines and branches the tests run: builds without optimisation and with counters, runs the suites and the
# cluster scripts, and prints the shares overall, by folder, and of the files that decide what is kept.
#
#   tests/coverage.sh                 unit, numeric, sim and the short cluster scripts: some 15 minutes on two cores
#   tests/coverage.sh --suites        without the cluster scripts
#   tests/coverage.sh --report        prints again what was counted so far
#   tests/coverage.sh --missing FILE  and the lines of FILE whose branches were not all taken, for instance ps/ckpt.c
#
# Branches of an sb_assert do not count: the other side is a bug of ours, and stops the process.  A process that is
# killed with signal 9, or leaves by _exit, writes no counters; what only such processes did is not seen.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 70

folder=build-coverage
run=all missing=()
while [ $# -gt 0 ]; do
    case "$1" in
    --suites) run=suites ;;
    --report) run=none ;;
    --missing) run=none missing+=("${2:?--missing needs a file}"); shift ;;
    --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "coverage.sh: unknown option '$1'" >&2; exit 64 ;;
    esac
    shift
done
command -v gcovr >/dev/null || { echo "coverage.sh: gcovr is missing: deploy/setup.sh --tests installs it" >&2; exit 69; }

scripts=(commands same_bits stop_resume restart members kill_worker killed threads metrics nonfinite trouble garbage
    chaos limits mlm classify setfit embed groups tags tokenize export pipeline sweep frozen)
failed=()
if [ $run != none ]; then
    if ! cmake -S . -B $folder -G Ninja -DCMAKE_BUILD_TYPE=Debug -DSB_COVERAGE=ON >/dev/null ||
        ! ninja -C $folder >$folder/log; then
        tail -30 $folder/log
        exit 1
    fi
    find $folder -name '*.gcda' -delete
    ctest --test-dir $folder -L '^(unit|numeric|sim)$' --timeout 1800 -j 2 >$folder/ctest.log 2>&1 ||
        failed+=("$(sed -nE 's/.* ([a-z_0-9]+) \((Failed|Timeout|SEGFAULT).*/\1/p' $folder/ctest.log | tr '\n' ' ')")
    for name in "${scripts[@]}"; do
        [ $run = all ] || break
        echo "tests/cluster/$name.sh"
        SHARDBERT_BUILD=$PWD/$folder timeout 1800 bash "tests/cluster/$name.sh" >$folder/script.log 2>&1 </dev/null
        ! grep -q '^not ok' $folder/script.log || failed+=("$name.sh: $(grep -m1 '^not ok' $folder/script.log)")
    done
fi

gcovr -r . $folder --exclude 'build.*' --exclude 'tests/.*' --exclude-branches-by-pattern '.*\bsb_assert\(.*' \
    --gcov-ignore-parse-errors --json $folder/coverage.json >/dev/null 2>$folder/gcovr.log || { cat $folder/gcovr.log; exit 1; }
python3 - $folder/coverage.json "${missing[@]}" <<'PYTHON'
import json, os, sys
files = json.load(open(sys.argv[1]))["files"]
decide = ["proto/msg.c", "ps/fold.c", "ps/shard.c", "ps/ckpt.c"]
def count(chosen):
    lines = [l for f in chosen for l in f["lines"] if not l.get("gcovr/noncode")]
    branches = [b for l in lines for b in l["branches"]]
    return (len(lines), sum(l["count"] > 0 for l in lines), len(branches), sum(b["count"] > 0 for b in branches))
def row(name, chosen):
    lines, ran, branches, taken = count(chosen)
    share = lambda part, all: "%5.1f %%" % (100 * part / all) if all else "      -"
    print("%-28s %6d lines %s   %6d branches %s" % (name, lines, share(ran, lines), branches, share(taken, branches)))
folders = {}
for f in files:
    folders.setdefault(os.path.dirname(f["file"]), []).append(f)
for name in sorted(folders):
    row(name + "/", folders[name])
for name in decide:
    row(name, [f for f in files if f["file"] == name])
row("all", files)
for name in sys.argv[2:]:
    source = open(name).read().split("\n")
    for l in [l for f in files if f["file"] == name for l in f["lines"]]:
        if not l.get("gcovr/noncode") and (l["count"] == 0 or any(b["count"] == 0 for b in l["branches"])):
            print("%s:%d: %s%s" % (name, l["line_number"], [b["count"] for b in l["branches"]] or "never",
                                   source[l["line_number"] - 1]))
PYTHON
[ ${#failed[@]} -eq 0 ] || printf 'failed: %s\n' "${failed[@]}"
[ ${#failed[@]} -eq 0 ]
