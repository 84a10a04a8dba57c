#!/usr/bin/env bash
# From nothing to a trained model: installs, builds, makes data from a Debian package of English
# texts, learns a vocabulary, trains a small fresh BERT as a masked language model and then as a
# classifier, and scores every stage on texts that no stage has trained on.
#
#   deploy/quickstart.sh [FOLDER]    results in FOLDER, by default build/quickstart
#
# Needs the network for Debian's packages only. Run again, it goes on where it stopped.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")/.." && pwd)
folder=$(realpath -m "${1:-$here/build/quickstart}")
build=$here/build
fortunes=/usr/share/games/fortunes
labels=(computers definitions knghtbrd songs-poems)
started=$SECONDS

say() {
    echo
    echo "== $1"
}

# entries FILE: the entries of a fortune file, one a line, without their sources. Every tenth is
# held out: `keep` is "train" or "validation".
entries() {
    awk -v keep="$2" '
        function flush() {
            gsub(/[[:cntrl:]]/, " ", text); gsub(/ +/, " ", text); sub(/^ /, "", text); sub(/ $/, "", text)
            if (length(text) > 20 && (number++ % 10 == 0) == (keep == "validation")) print text
            text = ""; source = 0
        }
        /^%/ { flush(); next }
        /^[ \t]*-- / { source = 1 }
        !source { text = text " " $0 }
        END { flush() }' "$fortunes/$1"
}

make_data() {
    local part file label
    mkdir -p "$folder/data"
    for part in validation train; do
        for file in "$fortunes"/*; do
            case "$file" in *.dat | *.u8) continue ;; esac
            entries "$(basename "$file")" "$part"
        done >"$folder/data/corpus-$part.txt"
        for label in "${labels[@]}"; do
            entries "$label" "$part" | sed "s/^/$label\t/"
        done >"$folder/data/labelled-$part.tsv"
    done
    # Some texts are filed twice: what is held out is held out everywhere.
    awk 'NR == FNR { held[$0]; next } !($0 in held)' \
        "$folder/data/corpus-validation.txt" "$folder/data/corpus-train.txt" >"$folder/data/train.part"
    mv "$folder/data/train.part" "$folder/data/corpus-train.txt"
}

write_jobs() {
    cat >"$folder/shape.json" <<JSON
{
  "model_type": "bert",
  "vocab_size": $vocab_size,
  "hidden_size": 128,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "intermediate_size": 512,
  "max_position_embeddings": 128
}
JSON
    cat >"$folder/mlm.yaml" <<YAML
# Stage 1: a fresh small BERT learns English from the whole corpus.
task: mlm
config_name: shape.json
tokenizer_name: vocab
train_file: data/corpus-train.txt
validation_file: data/corpus-validation.txt
output_dir: mlm
mlm_grouping: line
batch_size: 64
num_train_epochs: 6
learning_rate: 2e-3
weight_decay: 0.01
warmup_ratio: 0.06
logging_steps: 100
YAML
    cat >"$folder/classify.yaml" <<YAML
# Stage 2: the model of stage 1 learns under which subject a text is filed.
task: classify
model_name_or_path: mlm
labels: [$(printf '%s, ' "${labels[@]}" | sed 's/, $//')]
train_file: data/labelled-train.tsv
validation_file: data/labelled-validation.tsv
output_dir: classify
batch_size: 32
num_train_epochs: 6
learning_rate: 3e-4
weight_decay: 0.01
warmup_ratio: 0.1
logging_steps: 100
YAML
}

# untrained JOB FOLDER: the model that the job starts from, made by one step of a rate that is too
# small to move a weight.
untrained() {
    "$build/shardbert" train "$folder/$1.yaml" --quiet --set output_dir="$folder/$2" \
        --set max_steps=1 --set learning_rate=1e-30
}

# score MODEL TASK: one JSON object.
score() {
    local data=$folder/data/labelled-validation.tsv options=()
    [ "$2" = classify ] || { data=$folder/data/corpus-validation.txt; options=(--mlm-grouping line); }
    "$build/shardbert" eval --model "$folder/$1" --task "$2" --data "$data" "${options[@]}" --json 2>/dev/null
}

# number JSON KEY
number() {
    sed -E "s/.*\"$2\": ([-+0-9.e]+).*/\1/" <<<"$1"
}

say "packages"
"$here/deploy/setup.sh" --quickstart

say "build"
cmake -S "$here" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release >/dev/null
ninja -C "$build" --quiet shardbert
built=$SECONDS

say "data: short English texts from the packages fortunes and fortunes-min"
make_data
wc -l "$folder"/data/*

say "vocabulary"
"$build/shardbert" vocab --size 6000 --max-length 128 --output "$folder/vocab" \
    "$folder/data/corpus-train.txt"
vocab_size=$(wc -l <"$folder/vocab/vocab.txt")
write_jobs

say "stage 1, mlm: shardbert train $folder/mlm.yaml"
untrained mlm mlm-untrained
mlm_before=$(score mlm-untrained mlm)
"$build/shardbert" train "$folder/mlm.yaml"
mlm_after=$(score mlm mlm)

say "stage 2, classify: shardbert train $folder/classify.yaml"
untrained classify classify-untrained
classify_before=$(score classify-untrained classify)
"$build/shardbert" train "$folder/classify.yaml"
classify_after=$(score classify classify)

say "scores on texts that were held out"
printf '%-10s %-12s %10s %10s\n' stage score before after
for key in loss perplexity; do
    printf '%-10s %-12s %10.4f %10.4f\n' mlm $key "$(number "$mlm_before" $key)" "$(number "$mlm_after" $key)"
done
for key in loss accuracy f1_macro; do
    printf '%-10s %-12s %10.4f %10.4f\n' classify $key "$(number "$classify_before" $key)" \
        "$(number "$classify_after" $key)"
done
echo
echo "Model folders: $folder/mlm and $folder/classify ($((SECONDS - started)) seconds, $((built - started)) of them for packages and build). Try:"
echo "  echo 'A computer is a [MASK].' | $build/shardbert fill-mask --model $folder/mlm"
echo "  echo 'ERROR 404: humor not found' | $build/shardbert predict --model $folder/classify"
