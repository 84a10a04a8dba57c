#!/usr/bin/env bash
# The model of push, commit, checkpoint, crash and restart (rounds.pml) holds in every order of events,
# and fails when any one of its rules is left out.
set -uo pipefail
cd "$(dirname "$0")" || exit 70
work=$(mktemp -d "${TMPDIR:-/tmp}/shardbert-formal-XXXXXX")
trap 'rm -rf "$work"' EXIT
model=$PWD/rounds.pml

# search DEFINES...: all states; prints spin's line of errors.
search() {
    (cd "$work" && spin -a "$@" "$model" >spin.log && gcc -O2 -DSAFETY -DCOLLAPSE -w -o pan pan.c &&
        ./pan -E -m1000000 >pan.log 2>&1 && grep -o 'errors: [0-9]*' pan.log)
}

found=$(search)
states=$(sed -n 's/^ *\([0-9]*\) states, stored$/\1/p' "$work/pan.log")
truncated=$(grep -c 'max search depth too small\|out of memory' "$work/pan.log")
if [ "$found" = "errors: 0" ] && [ "$truncated" -eq 0 ]; then
    echo "ok the rules hold in all $states states"
else
    echo "not ok the rules hold: '$found'"
    tail -5 "$work/pan.log"
fi
for rule in DEDUP FENCE ROUND STORED ATOMIC KEPT END; do
    found=$(search "-D$rule=0")
    if [ "$found" = "errors: 1" ]; then
        echo "ok without $rule the model fails"
    else
        echo "not ok without $rule the model fails: '$found'"
    fi
done
