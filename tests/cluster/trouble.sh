#!/usr/bin/env bash
# What goes wrong in a run of processes: it ends at once, with the code of its cause, says the cause once, and leaves
# no process behind.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
set +e # commands that fail are what is looked at here
need_shared
small_data

# ends NAME CODE SECONDS WORDS COMMAND...: within so many seconds, with this code and these words.
ends() {
    local name=$1 code=$2 seconds=$3 words=$4
    shift 4
    exits "$name" "$code" "$words" timeout "$seconds" "$@"
}

# --- a model that is cut short is found by the worker that reads it, when all are there ----------
model=$work/model
mkdir "$model"
cp "$shared"/data/models/bert-tiny-general/{config.json,vocab.txt,tokenizer_config.json} "$model"
head -c 1000000 "$shared/data/models/bert-tiny-general/model.safetensors" >"$model/model.safetensors"
small_job cut classify "$work/cut"
sed -i "s#^config_name: .*#model_name_or_path: $model#; /^tokenizer_name/d" "$work/cut.yaml"
ends "a cut model ends a run of processes at once" 65 8 "is cut short" \
    "$build/shardbert" train "$work/cut.yaml" --servers 2 --workers 2 --quiet
is "and says so once" "$(wc -l <"$work/stderr")" 1
ends "a cut model ends a run of ranks at once" 65 20 "is cut short" \
    mpirun -np 2 "$build/shardbert-ps" "$work/cut.yaml" : -np 2 "$build/shardbert-worker" "$work/cut.yaml"
is "and leaves no model" "$(find "$work/cut" -name '*.safetensors' | wc -l)" 0

# --- data that cannot be read ends the ranks before they meet ------------------------------------
small_job broken classify "$work/broken"
printf 'pos\tbro\xffken\n' >>"$work/data/train.tsv"
ends "broken data ends a run of ranks at once" 65 20 "train.tsv:401:8" \
    mpirun -np 2 "$build/shardbert-ps" "$work/broken.yaml" : -np 2 "$build/shardbert-worker" "$work/broken.yaml"

ends "broken data ends a run of processes at once" 65 8 "train.tsv:401:8" \
    "$build/shardbert" train "$work/broken.yaml" --servers 2 --workers 2 --quiet
is "and is named once" "$(wc -l <"$work/stderr")" 1

# --- settings that only the model can judge are refused where they stand --------------------------
small_data
# refuses NAME WORDS LINE: one more line in the job file, in line 15.
refuses() {
    small_job judged classify "$work/judged" "$3"
    exits "$1" 78 "judged.yaml:15:$2" "$build/shardbert" train "$work/judged.yaml" --quiet
}
refuses "freezing everything leaves nothing to train" "1: freeze leaves no tensor to train" "freeze: '*'"
refuses "more frozen layers than there are" "1: freeze rule 'layers:9'" "freeze: layers:9"
small_job long classify "$work/long"
sed -i 's/^max_seq_length: .*/max_seq_length: 4000/' "$work/long.yaml"
exits "a length above the positions" 78 "long.yaml:8:1: max_seq_length is 4000, but the model has only" \
    "$build/shardbert" train "$work/long.yaml" --quiet

# --- a checkpoint of other settings is refused, once ----------------------------------------------
small_job begun classify "$work/begun" "save_steps: 1"
sed -i 's/^max_steps: .*/max_steps: 3/' "$work/begun.yaml"
run begun "$build/shardbert" train "$work/begun.yaml" --quiet
rm -f "$work/begun/shardbert.json"
exits "a checkpoint of other settings" 78 "learning_rate is 0.5 here" \
    "$build/shardbert" train "$work/begun.yaml" --quiet --set learning_rate=0.5
is "is refused in one line" "$(wc -l <"$work/stderr")" 1
exits "also by processes" 78 "learning_rate is 0.5 here" \
    "$build/shardbert" train "$work/begun.yaml" --quiet --set learning_rate=0.5 --servers 2 --workers 2
is "in one line" "$(wc -l <"$work/stderr")" 1

# --- the shape of a fresh model need not say how many pieces its tokenizer has --------------------
jq 'del(.vocab_size)' tests/support/small-bert.json >"$work/shape.json"
small_job shaped mlm "$work/shaped"
sed -i "s#^config_name: .*#config_name: shape.json#; s/^max_steps: .*/max_steps: 2/" "$work/shaped.yaml"
run shaped "$build/shardbert" train "$work/shaped.yaml" --quiet
is "a fresh model has the pieces of its tokenizer" "$(jq .vocab_size "$work/shaped/config.json")" 30522

# --- --fresh throws nothing away for a job that cannot begin --------------------------------------
small_job kept classify "$work/kept"
sed -i 's/^max_steps: .*/max_steps: 2/' "$work/kept.yaml"
run kept "$build/shardbert" train "$work/kept.yaml" --quiet
mkdir "$work/kept/checkpoint-best"
run kept "$build/shardbert" train "$work/kept.yaml" --quiet --fresh
check "--fresh removes no folder that is not a run's" test -d "$work/kept/checkpoint-best"
printf 'neg\tbro\xffken\n' >>"$work/data/validation.tsv"
exits "--fresh with broken data is refused" 65 "validation.tsv:81" \
    "$build/shardbert" train "$work/kept.yaml" --quiet --fresh
check "and has thrown nothing away" test -e "$work/kept/shardbert.json" -a -e "$work/kept/checkpoint-2/MANIFEST.json"
