#!/usr/bin/env bash
# Taggers from outside: training through servers and workers keeps its promise, evaluation says one
# number everywhere, and every token gets a tag.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
for name in train validation; do
    mkdir -p "$work/data"
    # Whole sentences: 300 of them, and 60.
    awk -v most="$([ $name = train ] && echo 300 || echo 60)" 'BEGIN { RS = ""; ORS = "\n\n" } NR <= most' \
        "$shared/data/ner/conll2003/$name.txt" >"$work/data/$name.txt"
done
labels=$(realpath "$shared")/data/ner/conll2003/labels.txt

# Windows of 24 tokens: many sentences have several.
out=$work/embedded
small_job ner ner "$out" "labels: $labels" "stride: 6" "label_all_tokens: true"
sed -i 's/^max_seq_length: .*/max_seq_length: 24/' "$work/ner.yaml"
check "ner: the embedded run ends" run embedded "$build/shardbert" train "$work/ner.yaml" --set threads=2
for shape in 1x1 1x3 2x3; do
    run "$shape" "$build/shardbert" train "$work/ner.yaml" --servers "${shape%x*}" \
        --workers "${shape#*x}" --set threads=1 --set "output_dir=$work/$shape" || true
    check "ner: ${shape%x*} servers and ${shape#*x} workers, same bits" same_weights "$out" "$work/$shape"
done
for shape in embedded 2x3; do
    jq -c 'with_entries(select(.key | startswith("eval_")))' "$work/$shape/all_results.json" >"$work/$shape.scores"
done
check "ner: the scores are the same too" cmp -s "$work/embedded.scores" "$work/2x3.scores"

"$build/shardbert" eval --model "$out" --task ner --data "$work/data/validation.txt" --json \
    --max-seq-length 24 --stride 6 --label-all-tokens >"$work/eval.json" || true
is "eval says what the training's evaluation said" \
    "$(jq -c '[.samples, .token_accuracy, .token_f1, .entities.default.micro.f1, .entities.strict.macro.f1] | map(. * 1e6 | round)' "$work/eval.json")" \
    "$(jq -c '[.eval_samples, .eval_accuracy, .eval_token_f1, .eval_f1, .eval_f1_macro_strict] | map(. * 1e6 | round)' "$work/embedded.scores")"
is "eval has all scores of entities" \
    "$(jq -c '.entities | map_values([keys, (.types | keys)])' "$work/eval.json")" \
    '{"default":[["macro","micro","types","weighted"],["LOC","MISC","ORG","PER"]],"strict":[["macro","micro","types","weighted"],["LOC","MISC","ORG","PER"]]}'

# --- predict -------------------------------------------------------------------------------------
predict() { "$build/shardbert" predict --model "$out" "$@"; }
{
    echo 'Café in São Paulo.'
    echo
    echo '{"text": "EU rejects  German call"}'
    echo '{"tokens": ["New York", "", "\u0001", "won"]}'
    for _ in $(seq 200); do printf 'a long sentence without an end '; done
} >"$work/lines.txt"
for how in none simple first average max; do
    predict --aggregation $how --max-length 24 "$work/lines.txt" >"$work/$how.jsonl" || true
    is "predict --aggregation $how: as many tags as tokens" \
        "$(jq -c '(.tokens | length) == (.tags | length)' "$work/$how.jsonl" | tr '\n' ' ')" \
        "true true true true true "
done
is "tokens of a text are its words" "$(head -1 "$work/first.jsonl" | jq -c .tokens)" '["Café","in","São","Paulo","."]'
is "tokens that are given come back" "$(sed -n 4p "$work/first.jsonl" | jq -c .tokens)" '["New York","","\u0001","won"]'
is "a long text has all its tokens" "$(sed -n 5p "$work/first.jsonl" | jq '.tokens | length')" 1200
predict --constrained "$work/lines.txt" | jq -r '.tags | join(" ")' >"$work/tags"
is "constrained: no I- without its B-" \
    "$(awk '{ p = "O"; for (i = 1; i <= NF; i++) { if ($i ~ /^I-/ && substr(p, 3) != substr($i, 3)) print; p = $i } }' "$work/tags")" ""

exits "an aggregation that there is not is wrong use" 64 "expected none, simple, first, average or max" \
    predict --aggregation last
exits "tokens that are no list are refused by line" 65 "lines:1: 'tokens' is not a list" \
    bash -c "echo '{\"tokens\": 1}' >'$work/lines'; '$build/shardbert' predict --model '$out' '$work/lines'"
exits "a classifier takes no tagging options" 64 "--aggregation is for models that tag words" \
    "$build/shardbert" predict --model tests/golden/commands/model --aggregation max
exits "a tagger has no logits of lines" 64 "--logits is not for a model that tags words" predict --logits
exits "a classifier is no tagger" 65 "it does not tag words" \
    "$build/shardbert" eval --model tests/golden/commands/model --task ner --data "$work/data/validation.txt"
exits "a tagger is no classifier" 65 "has no" "$build/shardbert" eval --model "$out" --task classify --data x.tsv

# --- planted: who and where can be learnt by heart, and must be found in new sentences --------------
plant() { # plant FIRST: a sentence of each fourth pair of a person and a place
    awk -v first="$1" 'BEGIN {
        people = split("Zoë Müller|Anna|Jean Paul Sartre|Mary Jones|Otto", person, "|")
        places = split("London|New York|São Paulo|Leicestershire", place, "|")
        for (i = 0; i < people * places * 3; i++) {
            if ((i % 4 == 0) != (first == 0)) continue
            words(person[i % people + 1], "PER")
            print (i % 3 ? "lives O\nin O" : "never O\nsaw O")
            words(place[int(i / people) % places + 1], "LOC")
            print ". O\n"
        }
    }
    function words(text, type,    n, w, j) {
        n = split(text, w, " ")
        for (j = 1; j <= n; j++) print w[j], (j == 1 ? "B-" : "I-") type
    }'
}
plant 1 >"$work/data/train.txt"
plant 0 >"$work/data/validation.txt"
out=$work/planted
small_job planted ner "$out" "hidden_dropout_prob: 0"
sed -i 's/^max_steps: .*/max_steps: 100/' "$work/planted.yaml"
check "planted: the run ends" run planted "$build/shardbert" train "$work/planted.yaml"
is "planted: every entity of new sentences is found" \
    "$(jq -c '.eval_f1 == 1 and .eval_f1_strict == 1' "$out/all_results.json")" true
for how in simple first average max; do
    predict --aggregation $how <<<'{"text": "Zoë Müller lives in  São Paulo."}' >"$work/$how.json" || true
    is "planted: --aggregation $how gives types, places and texts" \
        "$(jq -c '[.entities[] | [.type, .start, .end, .text]]' "$work/$how.json")" \
        '[["PER",0,10,"Zoë Müller"],["LOC",21,30,"São Paulo"]]'
done
is "planted: places are tokens where tokens were given" \
    "$(predict <<<'{"tokens": ["Anna", "lives", "in", "New", "York"]}' | jq -c '[.entities[] | [.type, .start, .end, .text]]')" \
    '[["PER",0,1,"Anna"],["LOC",3,5,"New York"]]'
out=$work/embedded

# --- what is wrong is said before any work ---------------------------------------------------------
printf 'a O\nb S-PER\n' >"$work/data/iobes.txt"
exits "another scheme is refused by name, file and line" 65 "iobes.txt:2: tag 'S-PER' is of the scheme IOBES" \
    "$build/shardbert" train "$work/ner.yaml" --set "train_file=$work/data/iobes.txt" --set "output_dir=$work/no"
exits "settings of tags belong to ner" 78 "stride belongs to task ner" \
    "$build/shardbert" train "$work/ner.yaml" --set task=classify --set "output_dir=$work/no"
