#!/usr/bin/env bash
# Task setfit from outside: a planted class that only a tuned body separates, a head that all shapes of
# the cluster fit to the same bits, and the commands on the folder that it leaves.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
model=$(realpath "$shared")/data/models/bert-tiny-general
python3 tests/support/planted_texts.py 1 96 >"$work/train.tsv"
python3 tests/support/planted_texts.py 2 150 >"$work/validation.tsv"
cat >"$work/job.yaml" <<END
task: setfit
model_name_or_path: $model
train_file: train.tsv
validation_file: validation.tsv
output_dir: out
cache_dir: cache
num_iterations: 12
learning_rate: 1.0e-3
logging_steps: 50
END

# value FILE KEY: a number of a JSON file.
value() { /usr/bin/python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }

run tuned "$build/shardbert" train "$work/job.yaml" --set threads=1 --set eval_on_start=true || true
log=$work/tuned.log
check "counts are those of num_iterations" \
    grep -q "texts=96 same_pairs=1488 other_pairs=3072 same_taken=1152 other_taken=1152 items=2304" "$log"
check "SetFit's defaults are said where the job says nothing" \
    grep -q "batch_size=16 num_train_epochs=1 learning_rate=0.001 warmup_ratio=0.1 weight_decay=0.01" "$log"
frozen=$(grep -o "eval_accuracy=[0-9.]*" "$log" | head -1 | cut -d= -f2)
tuned=$(value "$work/out/eval_results.json" eval_accuracy)
check "a tuned body beats the frozen one on planted classes ($frozen, $tuned)" \
    python3 -c "import sys; sys.exit(not $tuned > $frozen + 0.08)"

run untouched "$build/shardbert" train "$work/job.yaml" --set threads=1 --set freeze=body --set "output_dir=$work/untouched" || true
is "freeze: body takes no step and fits a head on the body as it is" \
    "$(grep -o "steps=0 " "$work/untouched.log" | head -1)$(value "$work/untouched/eval_results.json" eval_accuracy | cut -c1-8)" \
    "steps=0 ${frozen:0:8}"

small=(--set max_steps=8 --set slots=4 --set threads=1 --set save_steps=4)
run one "$build/shardbert" train "$work/job.yaml" "${small[@]}" --set "output_dir=$work/one" || true
for shape in 1x2 2x3; do
    run "$shape" "$build/shardbert" train "$work/job.yaml" "${small[@]}" --servers "${shape%x*}" \
        --workers "${shape#*x}" --set "output_dir=$work/$shape" || true
    for file in model.safetensors head.safetensors head.json checkpoint-4/head.safetensors; do
        check "$shape servers and workers: the same $file" cmp -s "$work/one/$file" "$work/$shape/$file"
    done
done

# Stopped and taken up again.
"$build/shardbert" train "$work/job.yaml" "${small[@]}" --set "output_dir=$work/stopped" \
    --set logging_steps=1 >"$work/stopped.log" 2>&1 &
pid=$!
for _ in $(seq 200); do
    if grep -q "step=4 " "$work/stopped.log"; then break; fi
    sleep 0.02
done
kill -KILL "$pid" 2>/dev/null || true
wait "$pid" 2>/dev/null || true
run again "$build/shardbert" train "$work/job.yaml" "${small[@]}" --set "output_dir=$work/stopped" \
    --set logging_steps=1 || true
for file in model.safetensors head.safetensors; do
    check "killed and resumed: the same $file" cmp -s "$work/one/$file" "$work/stopped/$file"
done

"$build/shardbert" eval --model "$work/out" --task classify --data "$work/validation.tsv" --json >"$work/eval.json"
is "eval says the loss of the training's evaluation" \
    "$(/usr/bin/python3 -c "print('%.8g' % $(value "$work/eval.json" loss))")" \
    "$(/usr/bin/python3 -c "print('%.8g' % $(value "$work/out/eval_results.json" eval_loss))")"
cut -f2 "$work/validation.tsv" | "$build/shardbert" predict --model "$work/out" >"$work/predicted.jsonl"
right=$(/usr/bin/python3 - "$work" <<'END'
import json, sys
work = sys.argv[1]
gold = [line.split("\t")[0] for line in open(work + "/validation.tsv")]
said = [json.loads(line)["label"] for line in open(work + "/predicted.jsonl")]
print(sum(a == b for a, b in zip(gold, said)) / len(gold) if len(gold) == len(said) else -1)
END
)
check "predict is right as often as eval says ($right)" \
    python3 -c "import sys; sys.exit(abs($right - $tuned) > 1e-6)"
check "the folder is exported as a classifier" "$build/shardbert" export --model "$work/out" --format classifier \
    --output "$work/onnx"
exits "logits of a head are refused" 64 "is not for" "$build/shardbert" predict --model "$work/out" --logits
printf 'task: setfit\nmodel_name_or_path: %s\ntrain_file: train.tsv\noutput_dir: bad\nsampling_strategy: unique\nnum_iterations: 3\n' \
    "$model" >"$work/bad.yaml"
exits "two ways to count pairs are refused" 78 "bad.yaml:6:1" "$build/shardbert" train "$work/bad.yaml"

# --- several labels a text -----------------------------------------------------------------------------
python3 tests/support/planted_sets.py 1 120 >"$work/sets.jsonl"
python3 tests/support/planted_sets.py 2 150 >"$work/sets_validation.jsonl"
sed -e "s/train.tsv/sets.jsonl/; s/validation.tsv/sets_validation.jsonl/" "$work/job.yaml" >"$work/sets.yaml"
echo "problem_type: multi_label_classification" >>"$work/sets.yaml"
sets() { # sets NAME [ARGUMENT...]
    local name=$1
    shift
    run "$name" "$build/shardbert" train "$work/sets.yaml" --set threads=1 --set "output_dir=$work/$name" "$@"
}
check "several labels: the run ends" sets several --set eval_on_start=true
is "several labels: a tuned body beats the frozen one by far" "$(grep -o 'eval_f1_macro=[0-9.]*' "$work/several.log" |
    cut -d= -f2 | tr '\n' ' ' | awk '{ print ($2 > $1 + 0.15) }')" 1
"$build/shardbert" eval --model "$work/several" --task classify --data "$work/sets_validation.jsonl" --json >"$work/eval.json"
is "several labels: eval says the scores of the training's evaluation" \
    "$(jq '[.loss, .accuracy, .f1_micro, .f1_samples] | map(. * 1e6 | round)' "$work/eval.json")" \
    "$(jq '[.eval_loss, .eval_accuracy, .eval_f1_micro, .eval_f1_samples] | map(. * 1e6 | round)' "$work/several/eval_results.json")"
"$build/shardbert" predict --model "$work/several" "$work/sets_validation.jsonl" >"$work/predicted.jsonl"
is "several labels: predict is right as often as eval says" \
    "$(paste -d '\n' "$work/sets_validation.jsonl" "$work/predicted.jsonl" |
        jq -s '[range(0; length; 2) as $i | .[$i].label == .[$i + 1].labels] | (map(select(.)) | length) / length * 1e6 | round')" \
    "$(jq '.accuracy * 1e6 | round' "$work/eval.json")"
check "several labels: the folder is exported as a classifier" "$build/shardbert" export --model "$work/several" \
    --format classifier --output "$work/several_onnx"
is "several labels: and says so" "$(jq -r .problem_type "$work/several_onnx/config.json")" multi_label_classification
few=(--set samples_per_label=16 --set max_steps=8 --set slots=4)
check "several labels: a few of each" sets few "${few[@]}"
check "several labels: 2 servers and 2 workers" sets few.2x2 "${few[@]}" --servers 2 --workers 2
for file in model.safetensors head.safetensors head.json; do
    check "several labels: the same $file" cmp -s "$work/few/$file" "$work/few.2x2/$file"
done
is "several labels: sample draws as many texts as the job" \
    "$("$build/shardbert" sample --multi-label --per-label 16 "$work/sets.jsonl" | wc -l)" \
    "$(grep -o 'event=few_shot.* texts=[0-9]*' "$work/few.log" | grep -o '[0-9]*$')"
for setting in loss=batch_hard_triplet loss=multiple_negatives_ranking head=centroid problem_type=regression; do
    exits "several labels: $setting is refused" 78 "${setting#*=}" "$build/shardbert" train "$work/sets.yaml" \
        --set "output_dir=$work/no" --set "$setting"
done
sed '/num_iterations/d; s/^task: .*/task: classify/' "$work/sets.yaml" >"$work/classify.yaml"
check "several labels: classify draws a few of each too" run classify "$build/shardbert" train "$work/classify.yaml" \
    --set threads=1 --set "output_dir=$work/classify" --set samples_per_label=45 --set max_steps=2
check "several labels: and says of which there are fewer" grep -q "of 3 classes have fewer: 'label" "$work/classify.log"
for format in onnx classifier; do
    check "several labels: classify's folder is exported as $format" "$build/shardbert" export --model "$work/classify" \
        --format "$format" --output "$work/classify_$format"
done
