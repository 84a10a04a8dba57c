#!/usr/bin/env bash
# What is frozen does not change by a bit and causes no traffic.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
model=$shared/data/models/bert-tiny-general

# changed FOLDER: the tensors that training changed, against the starting model.
changed() { python3 tests/support/safetensors_diff.py "$model/model.safetensors" "$1/model.safetensors"; }
pushed() { sed -nE 's/.*event=traffic .*push_bytes=([0-9]+).*/\1/p' "$1" | tail -1; }

frozen_run() {
    local name=$1
    shift
    small_job "$name" classify "$work/$name"
    sed -i "s#^config_name: .*#model_name_or_path: $(realpath "$model")#; /^tokenizer_name/d" "$work/$name.yaml"
    run "$name" "$build/shardbert" train "$work/$name.yaml" --set max_steps=4 "$@"
}

check "a frozen body trains" frozen_run body --set "freeze=body"
check "freeze body: not one tensor of the body changes" test -z "$(changed "$work/body")"
# 2 labels x 128 weights and 2 biases, 4 bytes each, in 4 steps, and a head of less than 100 bytes each.
bytes=$(pushed "$work/body.log")
check "freeze body: only the classifier's gradient is pushed" \
    test "$bytes" -ge $((4 * 258 * 4)) -a "$bytes" -lt $((4 * (258 * 4 + 100)))

check "freeze layers:1 trains" frozen_run first --set "freeze=layers:1"
check "freeze layers:1: embeddings and layer 0 keep every bit" \
    test -z "$(changed "$work/first" | grep -E 'embeddings|layer\.0\.')"
check "freeze layers:1: layer 1 and the pooler learn" \
    test "$(changed "$work/first" | grep -cE 'layer\.1\.|pooler')" -ge 16

frozen_run pattern --set 'freeze="*.attention.*"' || true
check "freeze by pattern: what it matches keeps every bit, the rest learns" \
    test "$(changed "$work/pattern" | grep -c attention)-$(changed "$work/pattern" | grep -c intermediate)" = 0-4

frozen_run nothing --set 'freeze=no.such.tensor' >"$work/nothing.out" || true
check "a pattern that matches nothing is refused by name" grep -q "no.such.tensor" "$work/nothing.out"

# One of the servers has no trained part; nothing may have to be said twice for that.
check "frozen body over processes, without a single retry" frozen_run remote --set "freeze=body" --servers 2 \
    --workers 2 --set threads=1 --set push_timeout_ms=600000
check "frozen body over processes: same bits" same_weights "$work/body" "$work/remote"
