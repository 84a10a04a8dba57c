#!/usr/bin/env bash
# The contracts of the commands on model folders, from outside: what goes in, what comes out, and
# the exit code and sentence of everything that goes wrong. The numbers were computed by
# tests/golden/make_commands_golden.py, without any of our code.
source "$(dirname "$0")/../support/cluster.sh"
set +e # commands that fail are what is looked at here

shardbert=$build/shardbert
golden=tests/golden/commands
model=$golden/model
texts=$golden/texts.txt
text_count=$(wc -l <$texts)
out=$work/out

# answers NAME FILTER WANTED COMMAND...: the lines out, each through FILTER, equal what WANTED
# selects from each expected answer. Numbers may differ by 2e-5, for models compute in float.
answers() {
    local name=$1 filter=$2 wanted=$3
    shift 3
    if ! "$@" >"$out" 2>"$work/stderr"; then
        not_ok "$name" "$(head -c 300 "$work/stderr")"
        return
    fi
    jq -c "$filter" "$out" | jq -s . >"$work/got"
    jq "[.answers[] | $wanted]" $golden/expected.json >"$work/wanted"
    local verdict
    verdict=$(jq -n --slurpfile a "$work/got" --slurpfile b "$work/wanted" '
        def same($x; $y):
            if ($x | type) != ($y | type) then false
            elif ($x | type) == "number" then ($x - $y | fabs) < 2e-5
            elif ($x | type) == "array" then
                ($x | length) == ($y | length) and
                all(range($x | length); . as $i | same($x[$i]; $y[$i]))
            elif ($x | type) == "object" then
                ($x | keys) == ($y | keys) and all($x | keys[]; . as $k | same($x[$k]; $y[$k]))
            else $x == $y end;
        same($a[0]; $b[0])' 2>&1)
    is "$name" "$verdict" true
}

# --- predict -------------------------------------------------------------------------------------
answers "predict gives label, score and scores of each line in order" \
    '[.label, .score, .scores]' \
    '[.label, (.scores | max), {sport: .scores[0], weather: .scores[1], food: .scores[2]}]' \
    "$shardbert" predict --model $model $texts
answers "predict --logits adds the logits" .logits .logits \
    "$shardbert" predict --model $model --logits $texts
is "predict without --logits has three keys" \
    "$("$shardbert" predict --model $model $texts 2>/dev/null | jq -c keys_unsorted | sort -u)" '["label","score","scores"]'
is "an empty line is answered" "$(printf '\n\n' | "$shardbert" predict --model $model | wc -l)" 2
is "no lines give no lines" "$("$shardbert" predict --model $model - </dev/null | wc -l)" 0
is "a file without a last line end is read whole" "$(printf 'a\nb' | "$shardbert" predict --model $model | wc -l)" 2
"$shardbert" predict --model $model --threads 1 $texts >"$out" 2>/dev/null
is "the number of threads leaves no trace" \
    "$("$shardbert" predict --model $model --threads 3 $texts 2>/dev/null | cksum)" "$(cksum <"$out")"
"$shardbert" predict --model $model $texts >/dev/null 2>"$work/stderr"
is "cut texts are counted" "$(cat "$work/stderr")" "shardbert: 2 of $text_count texts were cut to 24 tokens"
for _ in $(seq 400); do cat $texts; done >"$work/many"
"$shardbert" predict --model $model "$work/many" 2>/dev/null >"$work/many.out"
is "a line is answered alike in any company" \
    "$(jq -s --argjson n "$text_count" '[.[].score] as $s | length as $all |
        ($all == 400 * $n) and all(range($all); ($s[.] - $s[. % $n] | fabs) < 1e-6)' "$work/many.out")" true
gzip -c $texts >"$work/texts.txt.gz"
is "a compressed file is read" "$("$shardbert" predict --model $model "$work/texts.txt.gz" 2>/dev/null | cksum)" \
    "$(cksum <"$out")"

# --- fill-mask -----------------------------------------------------------------------------------
answers "fill-mask gives token, id and score for each mask" .masks .masks \
    "$shardbert" fill-mask --model $model --top-k 3 $texts
is "fill-mask gives the text back" \
    "$("$shardbert" fill-mask --model $model $texts 2>/dev/null | jq -r .text | cksum)" \
    "$(sed 's/^{"text": "\([^"]*\)".*/\1/' $texts | cksum)"
is "no mask gives no proposals" "$(echo 'the sun' | "$shardbert" fill-mask --model $model)" '{"text": "the sun", "masks": []}'
is "five proposals are the default" \
    "$(echo 'the [MASK]' | "$shardbert" fill-mask --model $model | jq '.masks[0] | length')" 5
is "more proposals than pieces give all pieces" \
    "$(echo 'the [MASK]' | "$shardbert" fill-mask --model $model --top-k 1000 | jq '.masks[0] | length')" \
    "$(wc -l <$model/vocab.txt)"
is "scores of all pieces sum to one" \
    "$(echo 'the [MASK]' | "$shardbert" fill-mask --model $model --top-k 1000 |
        jq '[.masks[0][].score] | add | . * 1e6 | round')" 1000000

# --- embed ---------------------------------------------------------------------------------------
answers "embed pools by the mean" .embedding .mean "$shardbert" embed --model $model $texts
answers "embed --normalize gives length one" .embedding .mean_normalized \
    "$shardbert" embed --model $model --normalize $texts
answers "embed --pooling cls takes the first row" .embedding .cls \
    "$shardbert" embed --model $model --pooling cls $texts
answers "embed --pooling max takes the largest values" .embedding .max \
    "$shardbert" embed --model $model --pooling max $texts
is "floats have nine digits at most" \
    "$("$shardbert" embed --model $model $texts 2>/dev/null | grep -oE '[0-9.]+(e-?[0-9]+)?' |
        sed -E 's/e.*//; s/^0\.0*//; s/\.//' | awk 'length > 10' | wc -l)" 0

# --- eval ----------------------------------------------------------------------------------------
eval_classify=("$shardbert" eval --model "$model" --task classify --data "$golden/labelled.jsonl")
"${eval_classify[@]}" --json >"$out" 2>/dev/null
is "eval counts samples and confusions" "$(jq -c '[.samples, .confusion_matrix, .labels]' "$out")" \
    "$(jq -c '[.eval.samples, .eval.confusion_matrix, ["sport", "weather", "food"]]' $golden/expected.json)"
is "eval's loss is the mean cross-entropy" \
    "$(jq -n --slurpfile a "$out" --slurpfile b $golden/expected.json '($a[0].loss - $b[0].eval.loss | fabs) < 2e-5')" true
is "eval names all its scores" \
    "$(jq -c '[.accuracy, .precision_macro, .recall_macro, .f1_macro, .precision_micro, .recall_micro, .f1_micro,
        .precision_weighted, .recall_weighted, .f1_weighted, .mcc] | map(type) | unique' "$out")" '["number"]'
is "eval without --json prints a table" \
    "$("${eval_classify[@]}" 2>/dev/null | grep -cE '^(loss|accuracy|f1_macro) +[0-9]')" 3

for _ in 1 2 3 4 5; do grep -v '^{' $texts; done >"$work/corpus.txt"
eval_mlm=("$shardbert" eval --model "$model" --task mlm --data "$work/corpus.txt" --json)
"${eval_mlm[@]}" >"$out" 2>/dev/null
is "eval mlm gives samples, targets, loss and perplexity, with intervals" "$(jq -c keys_unsorted "$out")" \
    '["samples","targets","loss","loss_ci","perplexity","perplexity_ci","ci_method"]'
is "a score lies in its interval" "$(jq '.loss_ci[0] < .loss and .loss < .loss_ci[1]' "$out")" true
is "perplexity is exp of the loss" "$(jq '((.loss | exp) - .perplexity | fabs) / .perplexity < 1e-6' "$out")" true
is "the same text has the same masks for ever" "$("${eval_mlm[@]}" 2>/dev/null)" "$(cat "$out")"
is "threads and passes leave no trace in what is masked" \
    "$("${eval_mlm[@]}" --threads 1 --max-tokens-per-pass 30 2>/dev/null | jq -c '[.samples, .targets, (.loss * 1e4 | round)]')" \
    "$(jq -c '[.samples, .targets, (.loss * 1e4 | round)]' "$out")"
is "line by line, each line is a sample" "$("${eval_mlm[@]}" --mlm-grouping line 2>/dev/null | jq .samples)" \
    "$(grep -c . "$work/corpus.txt")"
is "eval leaves nothing behind" \
    "$(mkdir "$work/tmp" && TMPDIR=$work/tmp "${eval_mlm[@]}" >/dev/null 2>&1; find "$work/tmp" | wc -l)" 1

cp -r $model "$work/short"
printf '{"format": "shardbert-run-1", "finished": true, "settings": "task=mlm\\nmax_seq_length=12\\n"}' >"$work/short/shardbert.json"
exits "eval names the length that a model was trained with" 0 "--max-seq-length 12" \
    "$shardbert" eval --model "$work/short" --task mlm --data "$work/corpus.txt"
exits "and is silent when it is given" 0 "perplexity" \
    "$shardbert" eval --model "$work/short" --task mlm --data "$work/corpus.txt" --max-seq-length 12
is "with nothing else to say" "$(grep -c trained "$work/stderr")" 0

# --- sample --------------------------------------------------------------------------------------
for i in $(seq 40); do printf '%s\ttext %d\n' "$((i % 3))" "$i"; done >"$work/rows.tsv"
"$shardbert" sample --data "$work/rows.tsv" --per-label 4 --seed 7 >"$work/few.jsonl" 2>/dev/null
is "sample takes as many texts of each class, in the order of the file" \
    "$(jq -sc '[(group_by(.label) | map(length)), (map(.line) | . == sort)]' "$work/few.jsonl")" '[[4,4,4],true]'
is "each with its own label and line" "$(jq -s 'all(.[]; (.text == "text \(.line)") and .label == "\(.line % 3)")' "$work/few.jsonl")" true
is "the seed decides, and more hold the fewer" \
    "$("$shardbert" sample --data "$work/rows.tsv" --per-label 6 --seed 7 2>/dev/null | jq -s --slurpfile few "$work/few.jsonl" '($few - .) == []')" true
is "what was chosen is labelled data" "$("$shardbert" sample --data "$work/few.jsonl" --per-label 1 2>/dev/null | wc -l)" 3
exits "a class with too few is named" 0 "class '0' has only 13" "$shardbert" sample --data "$work/rows.tsv" --per-label 14
exits "standard input cannot be read twice" 64 "twice" "$shardbert" sample --data - --per-label 1
exits "a sample of no size is wrong use" 64 "--per-label" "$shardbert" sample --data "$work/rows.tsv"

# --- inspect, help -------------------------------------------------------------------------------
"$shardbert" inspect $model >"$out" 2>&1
is "inspect names the tensors" "$(grep -c 'classifier.weight' "$out")" 1
cat >"$work/train.yaml" <<YAML
task: classify
model_name_or_path: $PWD/$model
train_file: $PWD/$golden/labelled.jsonl
output_dir: inspected
max_steps: 2
YAML
if run inspected "$shardbert" train "$work/train.yaml" --quiet; then
    checkpoint=$work/inspected/checkpoint-2
    exits "inspect knows a checkpoint, its step and its settings" 0 "step 2, term 1, complete" "$shardbert" inspect "$checkpoint"
    state=$(find "$checkpoint" -name '*.safetensors')
    printf 'x' | dd of="$state" bs=1 seek=4000 conv=notrunc status=none
    exits "a damaged checkpoint is bad data" 65 "checksum" "$shardbert" inspect "$checkpoint"
    rm "$checkpoint/MANIFEST.json"
    exits "a checkpoint without a manifest was not finished" 65 "not finished" "$shardbert" inspect "$checkpoint"
else
    not_ok "inspect knows a checkpoint"
fi
exits "the model's labels in another order would exchange its classes" 78 "in another order" \
    "$shardbert" train "$work/train.yaml" --quiet --fresh --set "labels=[food, sport, weather]"
for command in eval predict fill-mask embed tokenize vocab sample inspect train; do
    exits "$command --help explains itself" 0 "Usage: shardbert $command" "$shardbert" $command --help
done
exits "--version says the version" 0 "shardbert 0." "$shardbert" --version
exits "--help lists the commands" 0 "fill-mask" "$shardbert" --help

# --- what goes wrong -----------------------------------------------------------------------------
exits "no command is wrong use" 64 "Usage" "$shardbert"
exits "a number of servers that is none is wrong use" 64 "--servers is 'x'" "$shardbert" train job.yaml --servers x
exits "plan --help explains plan" 0 "before it is started" "$shardbert" plan --help
exits "an unknown command names the nearest" 64 "did you mean 'predict'" "$shardbert" predct
exits "an unknown option is wrong use" 64 "--bogus" "$shardbert" predict --model $model --bogus
exits "a missing --model is wrong use" 64 "--model" "$shardbert" predict $texts
exits "a bad number is wrong use" 64 "--top-k" "$shardbert" fill-mask --model $model --top-k x
exits "a bad pooling is wrong use" 64 "--pooling" "$shardbert" embed --model $model --pooling x
exits "a bad task is wrong use" 64 "--task" "$shardbert" eval --model "$model" --task tag --data $texts
exits "eval refuses options of other tasks" 64 "--stride belongs to task ner; this task is classify" "$shardbert" eval --model "$model" --task classify --data $texts --stride 3
exits "a missing model folder is missing input" 66 "$work/none" "$shardbert" predict --model "$work/none"
exits "a folder without a model is missing input" 66 "config.json" "$shardbert" predict --model "$work/tmp"
exits "a missing file is missing input" 66 "$work/none" "$shardbert" predict --model $model "$work/none"
exits "missing data is missing input" 66 "none.tsv" "$shardbert" eval --model "$model" --task classify --data "$work/none.tsv"

mkdir "$work/headless"
cp $model/* "$work/headless"
sed -i 's/"id2label"/"was_id2label"/; s/"label2id"/"was_label2id"/; s/SequenceClassification/Model/' "$work/headless/config.json"
exits "predict needs a classifier" 65 "no classifier" "$shardbert" predict --model "$work/headless"
head -c 9000 $model/model.safetensors >"$work/headless/model.safetensors"
exits "a cut model file is bad data" 65 "model.safetensors" "$shardbert" embed --model "$work/headless"

printf 'fine\nbro\xffken\nfine\n' >"$work/broken.txt"
exits "broken UTF-8 is bad data, with file and line" 65 "broken.txt:2" "$shardbert" predict --model $model "$work/broken.txt"
is "what came before it is answered" "$(wc -l <"$work/stdout")" 1
exits "--lenient replaces it and says so" 0 "1 broken byte" "$shardbert" predict --model $model --lenient "$work/broken.txt"
is "and answers every line" "$(wc -l <"$work/stdout")" 3
printf '{"text": "fine"}\n{"text": \n' >"$work/broken.jsonl"
exits "broken JSON is bad data, with file and line" 65 "broken.jsonl:2" "$shardbert" predict --model $model "$work/broken.jsonl"
printf '{"txt": "fine"}\n' >"$work/broken.jsonl"
exits "JSON without a text is bad data" 65 "no 'text'" "$shardbert" predict --model $model "$work/broken.jsonl"
: >"$work/empty.tsv"
exits "an empty file cannot be scored" 65 "empty.tsv" "$shardbert" eval --model "$model" --task classify --data "$work/empty.tsv"
exits "an empty corpus cannot be scored" 65 "empty.tsv" "$shardbert" eval --model "$model" --task mlm --data "$work/empty.tsv"
printf 'just a text\nanother\n' >"$work/unlabelled.tsv"
exits "a file without labels cannot be scored" 65 "unlabelled.tsv" "$shardbert" eval --model "$model" --task classify --data "$work/unlabelled.tsv"
printf 'politics\tthe sun\n' >"$work/strange.tsv"
exits "a label that the model does not know is named" 65 "politics" "$shardbert" eval --model "$model" --task classify --data "$work/strange.tsv"
if [ -e /dev/full ]; then
    rc=0
    "$shardbert" predict --model $model $texts >/dev/full 2>"$work/stderr" || rc=$?
    is "a full disk is an I/O error" "$rc" 74
fi
