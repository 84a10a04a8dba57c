#!/usr/bin/env bash
# Numbers gone wrong, from outside: the step, the slot and the samples are named; steps are skipped as often as the job says.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
set +e # commands that fail are what is looked at here
need_shared
small_data

# A model whose numbers are all finite, and whose first layer overflows.
model=$work/model
mkdir "$model"
cp "$shared"/data/models/bert-tiny-general/{config.json,vocab.txt,tokenizer_config.json} "$model"
/usr/bin/python3 - "$shared/data/models/bert-tiny-general/model.safetensors" "$model/model.safetensors" <<'PY'
import json, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
size = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + size])
name = next(n for n in header if n.endswith("layer.0.output.dense.weight"))
begin, end = header[name]["data_offsets"]
assert header[name]["dtype"] == "F32"
data[8 + size + begin:8 + size + end] = struct.pack("<f", 3e38) * ((end - begin) // 4)
open(sys.argv[2], "wb").write(data)
PY
# job NAME LINE...
job() {
    local name=$1
    shift
    small_job "$name" classify "$work/$name" "$@"
    sed -i "s#^config_name: .*#model_name_or_path: $model#; /^tokenizer_name/d" "$work/$name.yaml"
}
names_samples() { grep -q "of slot 0 is not finite; its samples, counted from 0: [0-9]" "$work/stderr" "$work/stdout"; }

job stops
exits "a step that is not finite ends the run and names slot and worker" 65 "slot 0, computed by worker 0" \
    "$build/shardbert" train "$work/stops.yaml" --set threads=1 --quiet
is "and the samples" "$(names_samples && echo named)" named
exits "so it does in a run of processes" 65 "slot 0, computed by worker" \
    "$build/shardbert" train "$work/stops.yaml" --fresh --servers 2 --workers 2 --set threads=1 --quiet
is "with the samples" "$(names_samples && echo named)" named
job skips "nan_policy: skip" "max_skipped_steps: 3"
exits "three skipped steps in a row end the run" 65 "the 3rd step in a row" \
    "$build/shardbert" train "$work/skips.yaml" --set threads=1 --quiet

# Where the loss compares items of all slots, it is the vectors that are not finite.
for n in $(seq 1 60); do echo "{\"anchor\": \"first text $n\", \"positive\": \"second text $n\"}"; done >"$work/pairs.jsonl"
{
    printf '%s\n' "task: embed" "model_name_or_path: $model" "train_file: pairs.jsonl" "output_dir: $work/vectors" \
        "max_steps: 6" "batch_size: 8" "slots: 4" "nan_policy: skip" "max_skipped_steps: 3"
} >"$work/vectors.yaml"
exits "vectors that are not finite are skipped as often as the job says" 65 \
    "the vectors of step 3 are not finite (slot 0, computed by worker 0" \
    "$build/shardbert" train "$work/vectors.yaml" --set threads=1 --quiet

# A machine that miscomputes once, anywhere: the step is refused, and the same command goes on to the bits of a sound machine.
# NANS=N such faults, by SEED.
micro_job sound classify "$work/sound" "save_steps: 10"
sed -i 's/^max_steps: .*/max_steps: 60/' "$work/sound.yaml"
run sound "$build/shardbert" train "$work/sound.yaml" --set threads=1
RANDOM=${SEED:-1}
refused=0 harmless=0 wrong=0
for ((n = 0; n < ${NANS:-4}; n++)); do
    rc=0
    rm -rf "$work/out"
    sick=("$build/shardbert" train "$work/sound.yaml" --servers 2 --workers 2 --set threads=1 --set "output_dir=$work/out")
    SB_HANG="gemm:$((RANDOM % 3000 + 1)):nan" SB_HANG_WHO="shardbert-worker --index=$((RANDOM % 2))" \
        LD_PRELOAD="$build/tests/hang.so" timeout 60 "${sick[@]}" >"$work/sick.log" 2>&1 || rc=$?
    if [ "$rc" = 65 ] && grep -q "not finite" "$work/sick.log"; then
        refused=$((refused + 1))
        timeout 60 "${sick[@]}" >"$work/again.log" 2>&1
    elif [ "$rc" = 0 ] && ! grep -q "not finite" "$work/sick.log"; then
        harmless=$((harmless + 1)) # an evaluation, or a share that another one computed as well
    fi
    same_weights "$work/sound" "$work/out" && continue
    wrong=$((wrong + 1))
    tail -5 "$work/sick.log" "$work/again.log" | sed 's/^/# /'
done
echo "# ${NANS:-4} NaN: $refused refused, $harmless without effect"
is "a NaN out of nowhere never enters the weights" "$wrong" 0
