#!/usr/bin/env bash
# Classifiers from outside: several labels, numbers, weights of classes, rates of layers, the best model.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
mkdir -p "$work/data"
model=$(realpath "$shared")/data/models/bert-tiny-general

# Planted: each label is a word; the number is how many of the three there are; "rare" stands in one of 12.
awk -v seed=5 -v dir="$work/data" 'BEGIN {
    srand(seed)
    words = split("the movie film was very long and a story of people in some city", w, " ")
    split("red green blue", k, " ")
    for (i = 0; i < 400; i++) {
        text = ""; labels = ""; json = ""; n = 0
        for (j = 0; j < 6; j++) text = text w[int(rand() * words) + 1] " "
        for (j = 1; j <= 3; j++) if (rand() < 0.4) {
            text = text k[j] " "; n++
            labels = labels (labels ? "," : "") "is_" k[j]; json = json (json ? "," : "") "\"is_" k[j] "\""
        }
        rare = i % 12 == 0
        to = i < 320 ? "train" : "validation"
        print labels "\t" text >dir "/several_" to ".tsv"
        printf "{\"text\": \"%s\", \"label\": [%s]}\n", text, json >dir "/several_" to ".jsonl"
        printf "{\"sentence1\": \"%s\", \"sentence2\": \"%s\", \"label\": %.1f}\n", text, w[i % words + 1], n - 0.5 >dir "/number_" to ".jsonl"
        print (rare ? "rare" : "often") "\t" text (rare && rand() < 0.8 ? "city" : "") >dir "/uneven_" to ".tsv"
    }
}'

job() { # job NAME DATA LINE...
    local name=$1 data=$2
    shift 2
    {
        echo "task: classify"
        echo "model_name_or_path: $model"
        echo "train_file: data/${data/\*/train}"
        echo "validation_file: data/${data/\*/validation}"
        echo "output_dir: $work/$name"
        echo "cache_dir: cache"
        echo "batch_size: 16"
        echo "slots: 4"
        case "$*" in *max_steps*) ;; *) echo "max_steps: 60" ;; esac
        case "$*" in *" learning_rate"*) ;; *) echo "learning_rate: 1.0e-3" ;; esac
        echo "threads: 1"
        printf '%s\n' "$@"
    } >"$work/$name.yaml"
}
train() { # train NAME [ARGUMENT...]
    local name=$1
    shift
    run "$name" "$build/shardbert" train "$work/$name.yaml" "$@"
}
twin() { # twin NAME: two servers and three workers
    run "$1.2x3" "$build/shardbert" train "$work/$1.yaml" --servers 2 --workers 3 --set "output_dir=$work/$1.2x3" || true
    check "$1: 2 servers and 3 workers, same bits" same_weights "$work/$1" "$work/$1.2x3"
}
score() { jq "$2" "$work/$1/all_results.json"; }

# --- several labels, and numbers ---------------------------------------------------------------------
job several 'several_*.tsv' "problem_type: multi_label_classification" "class_weight: balanced"
check "several labels: the run ends" train several
twin several
check "several labels: JSON lists are the same data" \
    train several --set "train_file=$work/data/several_train.jsonl" --set "output_dir=$work/lists"
check "several labels: and give the same bits" same_weights "$work/several" "$work/lists"
is "several labels: they are learnt" "$(score several '.eval_f1_micro > 0.9 and .eval_is_red_f1 > 0.9')" true
is "several labels: eval says what training said" \
    "$("$build/shardbert" eval --model "$work/several" --task classify --data "$work/data/several_validation.jsonl" --json |
        jq '[.loss, .accuracy, .f1_micro, .f1_samples] | map(. * 1e6 | round)')" \
    "$(score several '[.eval_loss, .eval_accuracy, .eval_f1_micro, .eval_f1_samples] | map(. * 1e6 | round)')"
is "several labels: predict names them" \
    "$(printf 'a red film\nnothing\n' | "$build/shardbert" predict --model "$work/several" | jq -c .labels | tr '\n' ' ')" \
    '["is_red"] [] '
job number 'number_*.jsonl' "problem_type: regression"
check "numbers of pairs: the run ends" train number
is "numbers of pairs: they are learnt" "$(score number '.eval_pearson > 0.9 and (.eval_mse - .eval_loss | fabs) < 1e-6')" true
is "a number is predicted" \
    "$(echo '{"text": "red green blue", "text_pair": "x"}' | "$build/shardbert" predict --model "$work/number" | jq -c 'keys')" '["score"]'

# --- uneven classes ----------------------------------------------------------------------------------
for how in none balanced; do
    job "uneven-$how" 'uneven_*.tsv' "class_weight: $how" "max_steps: 40" "learning_rate: 3.0e-4"
    train "uneven-$how" || true
done
is "weights of classes raise the recall of a rare one" \
    "$(jq -n --argjson a "$(score uneven-none .eval_recall_macro)" --argjson b "$(score uneven-balanced .eval_recall_macro)" '$b > $a')" true

# --- rates, unfreezing, the best model: same bits, also by rows and after a stop -----------------------
job course 'uneven_*.tsv' "head_learning_rate: 1.0e-2" "layerwise_lr_decay: 0.7" "unfreeze_steps: 12" \
    "weight_decay: 0.01" "label_smoothing_factor: 0.1" "samples_per_label: 20" "eval_steps: 10" "save_steps: 0" \
    "metric_for_best_model: loss" "load_best_model_at_end: true" "early_stopping_patience: 2"
check "rates and the best model: the run ends" train course
twin course
check "rates: dense word embeddings" train course --set row_sparse=false --set "output_dir=$work/dense"
check "rates: rows give the bits of dense ones" same_weights "$work/course" "$work/dense"
cp -r "$work/course" "$work/again"
last=$(find "$work/again" -maxdepth 1 -name 'checkpoint-*' | sort -t- -k2 -n | tail -1)
rm -rf "$work/again/shardbert.json" "$work/again/model.safetensors"
if [ "$(find "$work/again" -maxdepth 1 -name 'checkpoint-*' | wc -l)" -gt 1 ]; then rm -rf "$last"; fi
check "the best model: an earlier checkpoint goes on" train course --set "output_dir=$work/again"
check "the best model: and decides the same" same_weights "$work/course" "$work/again"
is "the best model: trainer_state.json names it" \
    "$(jq -r '.best_model_checkpoint' "$work/course/trainer_state.json" | xargs test -d && echo yes)" yes
is "the best model: the results are its own" \
    "$(jq -s '.[0].best_metric == .[1].eval_loss' "$work/course/trainer_state.json" "$work/course/eval_results.json")" true

# --- other labels than the model's: a fresh classifier, and the person hears of it ---------------------
job renewed 'several_*.tsv' "problem_type: multi_label_classification" "max_steps: 2"
sed -i "s|^model_name_or_path: .*|model_name_or_path: $work/course|" "$work/renewed.yaml"
check "a classifier for other labels is renewed" train renewed
check "and that is said" grep -q "a fresh one of 3 labels is trained" "$work/renewed.log"

# --- mistakes ----------------------------------------------------------------------------------------
no() { "$build/shardbert" train "$work/uneven-none.yaml" --set "output_dir=$work/no" "$@"; }
exits "weights must fit the classes" 78 "class_weight has 3 weights, and there are 2 classes" no --set 'class_weight=[1, 2, 3]'
exits "weights are numbers" 78 "class_weight has 'much'" no --set 'class_weight=[much, 1]'
exits "a number has no class weights" 78 "class_weight has no meaning with problem_type regression" \
    no --set problem_type=regression --set class_weight=balanced
exits "a label that is no number is named by line" 65 "uneven_train.tsv:1: label 'rare' is not a number" no --set problem_type=regression
exits "a metric that there is not is said with those that there are" 78 "the evaluations have eval_loss, eval_accuracy" \
    no --set metric_for_best_model=f7
