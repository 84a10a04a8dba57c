#!/usr/bin/env bash
# Damaged checkpoints: whatever byte is turned and wherever a file is cut, the newest one is named and passed over.
# FLIPS=all: all bytes of headers and manifest, all lengths modulo 4 KiB, 2,000 of each body; else some, chosen by SEED.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # what fails is what is looked at here

# kept NAME TASK [LINE...]: a run of two servers that leaves checkpoints of two steps.
kept() {
    micro_job "$1" classify "$work/$1" "save_steps: 10" "${@:3}"
    sed -i -e 's/^max_steps: .*/max_steps: 20/' -e "s/^task: .*/task: $2/" "$work/$1.yaml"
    run "$1" "$build/shardbert" train "$work/$1.yaml" --servers 2 --workers 1 --set threads=1
}
body=100 stride=11
[ "${FLIPS:-}" != all ] || { body=2000 stride=1; }
kept plain classify
kept head setfit "samples_per_label: 8" "head_max_iter: 5"
for name in plain head; do
    check "$name: every damage to a checkpoint is found out" /usr/bin/python3 tests/fault/flips.py "$build/tests/newest_checkpoint" \
        "$work/$name" "$body" "$stride" "${SEED:-1}"
done

# resumes NAME COMMAND...: damage to checkpoint-20 of an unfinished run, and the same command.
resumes() {
    local name=$1 out=$work/out log=$work/log
    shift
    rm -rf "$out"
    run begun timeout 60 "$build/shardbert" train "$work/long.yaml" --set threads=1 --set "output_dir=$out"
    (cd "$out/checkpoint-20" && "$@")
    rm -f "$out"/{shardbert.json,model.safetensors,config.json} # as if it had been killed before the end
    rc=0
    timeout 60 "$build/shardbert" train "$work/long.yaml" --set threads=1 --set "output_dir=$out" >"$log" 2>&1 || rc=$?
    is "$name: the run resumes" "$rc" 0
    check "$name: the damaged one is named" grep -q "checkpoint-20.*" "$log"
    check "$name: from the one before" grep -q "event=started .*step=10 .*how=resumed" "$log"
    check "$name: same bits" same_weights "$work/plain" "$out"
}
flip() { printf '\x5a' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
cp "$work/plain.yaml" "$work/long.yaml"
resumes "a byte of a state turned" flip state-1-of-1.safetensors 9000
resumes "a state cut" truncate -s 8192 state-1-of-1.safetensors
resumes "a byte of the manifest turned" flip MANIFEST.json 40
if [ "${FLIPS:-}" = all ]; then
    resumes "a state gone" rm state-1-of-1.safetensors
    resumes "an empty manifest" truncate -s 0 MANIFEST.json
fi
