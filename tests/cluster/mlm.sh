#!/usr/bin/env bash
# What mlm has of its own, from outside: packed samples, spans and a rate that changes leave the promise of the same
# bits alone; probes before and after, also of a resumed run; eval scores as the training did; more words for a model.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
set +e # commands that fail are what is looked at here
need_shared
small_data
shardbert=$build/shardbert

# --- same bits, and probes -----------------------------------------------------------------------
one=$work/one
small_job job mlm "$one" "mlm_grouping: pack" "span_mask: true" "mlm_probability: 0.3" "mlm_probability_end: 0.1" \
    "save_steps: 6" "threads: 1" 'probe_sentences: ["What a horrible [MASK]!", "a [MASK] and [MASK] film"]'
run one "$shardbert" train "$work/job.yaml"
run two "$shardbert" train "$work/job.yaml" --servers 2 --workers 3 --set "output_dir=$work/two"
check "packed spans at a falling rate: 1 and 3 workers, same bits" same_weights "$one" "$work/two"
is "the same words before and after, whoever computes them" "$(cksum <"$work/two/probes.json")" "$(cksum <"$one/probes.json")"
is "probes have five words for each [MASK], before and after" \
    "$(jq -c '[.sentences[] | .before, .after | map(length)]' "$one/probes.json")" '[[5],[5],[5,5],[5,5]]'
is "before and after differ" "$(jq '.sentences[0] | .before == .after' "$one/probes.json")" false
is "perplexity after is that of eval_results.json" "$(jq .perplexity.after "$one/probes.json")" \
    "$(jq .eval_perplexity "$one/eval_results.json")"
is "perplexity before is that of the first evaluation" "$(jq .perplexity.before "$one/probes.json")" \
    "$(jq '[.log_history[] | select(.eval_perplexity)][0].eval_perplexity' "$one/trainer_state.json")"
is "what is said at the end has both" "$(grep -c 'event=probe .*before=.*after=' "$work/one.log")" 2

mkdir "$work/resumed"
cp -r "$one/checkpoint-6" "$work/resumed"
run resumed "$shardbert" train "$work/job.yaml" --set "output_dir=$work/resumed"
check "a run goes on from its checkpoint" grep -q "how=resumed" "$work/resumed.log"
check "and ends with the same bits" same_weights "$one" "$work/resumed"
is "before is the starting model, also where its file is lost" "$(cksum <"$work/resumed/probes.json")" \
    "$(cksum <"$one/probes.json")"
sed 's/^probe_sentences: .*/probe_sentences: ["What a horrible film!"]/' "$work/job.yaml" >"$work/bad.yaml"
exits "a sentence without [MASK] is refused by its place" 78 \
    "bad.yaml:$(grep -n probe_sentences "$work/bad.yaml" | cut -d: -f1):1: probe_sentences: there is no [MASK] in 'What a horrible film!'" \
    "$shardbert" train "$work/bad.yaml" --set "output_dir=$work/bad"

# --- eval ----------------------------------------------------------------------------------------
loss() { "$shardbert" eval --model "$1" --task mlm --data "$work/data/validation.txt" --json "${@:2}" 2>"$work/stderr" | jq .loss; }
is "eval scores a model as its training did" \
    "$(jq -n "$(loss "$one") - $(jq .eval_loss "$one/eval_results.json") | fabs < 1e-6")" true
is "and says with which options" "$(grep -c -- '--max-seq-length 64 --mlm-grouping pack' "$work/stderr")" 1
is "options are stronger" "$(jq -n "$(loss "$one" --mlm-grouping line) == $(loss "$one" --mlm-grouping hf)")" false

# --- more words ----------------------------------------------------------------------------------
"$shardbert" vocab --extend "$one" --words 40 --output "$work/more" "$work/data/train.txt" 2>"$work/vocab.log"
is "words are added in unused places" "$(grep -oE 'added=40 in_unused=40 appended=0 vocab_size=30522' "$work/vocab.log")" \
    "added=40 in_unused=40 appended=0 vocab_size=30522"
"$shardbert" vocab --extend "$one" --words 40 --keep-unused --output "$work/more" "$work/data/train.txt" 2>"$work/vocab.log"
is "or behind the last" "$(jq .vocab_size "$work/more/config.json")" 30562
word=$(head -1 "$work/more/added_words.tsv" | cut -f1)
is "an added word is one piece" "$(echo "$word" | "$shardbert" tokenize --model "$work/more" --no-special | jq -c .tokens)" "[\"$word\"]"
sed "/^tokenizer_name/d; s#^config_name: .*#model_name_or_path: $work/more#; s#^output_dir: .*#output_dir: $work/more-trained#" \
    "$work/job.yaml" >"$work/more.yaml"
run more "$shardbert" train "$work/more.yaml" --set max_steps=2
check "training goes on from it" test -s "$work/more-trained/model.safetensors"
is "and its words are proposed and read" "$(echo "the $word is [MASK]" | "$shardbert" fill-mask --model "$work/more-trained" | jq '.masks[0] | length')" 5
exits "--size beside --extend is wrong use" 64 "--size or --extend" \
    "$shardbert" vocab --extend "$one" --size 100 --output "$work/x" "$work/data/train.txt"
exits "a model that is not there is missing input" 66 "$work/none" \
    "$shardbert" vocab --extend "$work/none" --output "$work/x" "$work/data/train.txt"
exits "a model is not written over itself" 73 "own folder" \
    "$shardbert" vocab --extend "$one" --output "$one" "$work/data/train.txt"
