#!/usr/bin/env bash
# A pipeline: two stages, the second over two seeds; killed in the second stage it goes on by the same
# command to the same bits; what is done is not done again, and what has changed is refused.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # commands that fail are looked at too
small_job domain mlm "$work/unused"
sed -i '/^output_dir/d; /^cache_dir/d; s/^max_steps.*/max_steps: 6/' "$work/domain.yaml"
cat >"$work/pipe.yaml" <<END
seeds: [1, 2] # of what does not say its own
stages:
  - {name: domain, job: domain.yaml, seeds: [7]}
  - name: reviews
    task: classify
    model_name_or_path: @domain
    train_file: data/train.tsv
    validation_file: data/validation.tsv
    max_seq_length: 64
    batch_size: 16
    slots: 4
    max_steps: 40
    save_steps: 4
    learning_rate: 1.0e-3
END
pipeline=("$build/shardbert" run "$work/pipe.yaml" --threads 1 --output)

check "a pipeline of two stages runs" run whole "${pipeline[@]}" "$work/whole" --quiet
is "it reports its runs and what they started from" \
    "$(jq -c '[.stages[] | [.name, (.runs | length), .from.model_name_or_path]]' "$work/whole/report.json")" \
    '[["domain",1,null],["reviews",2,"domain"]]'
is "and the mean over seeds" "$(jq '.stages[1] | [.runs[].score] as $s
    | (.over_seeds.mean - ($s | add) / 2 | fabs) < 1e-9 and (.over_seeds.deviation - (($s[0] - $s[1]) / (2 | sqrt) | fabs) | fabs) < 1e-9' \
    "$work/whole/report.json")" true
is "the classifier knows the model that it comes from" "$(jq -r '.lineage[].task' "$work/whole/reviews/seed-2/shardbert.json")" mlm
is "whose content is what it started from" "$(jq -r '.inputs.model_name_or_path.content' "$work/whole/reviews/seed-2/shardbert.json")" \
    "$(jq -r '.model' "$work/whole/domain/shardbert.json")"
check "the card tells it" grep -q '^2. \*\*domain\*\*: mlm on train.txt' "$work/whole/reviews/seed-2/README.md"
check "a stage is the run that train makes" sh -c "
    '$build/shardbert' train '$work/pipe.yaml' --stage reviews --quiet --set 'output_dir=$work/alone' \
        --set 'model_name_or_path=$work/whole/domain' --set seed=2 --servers 2 --workers 2 2>/dev/null"
check "with the same bits" same_weights "$work/alone" "$work/whole/reviews/seed-2"

"${pipeline[@]}" "$work/killed" >"$work/killed.log" 2>&1 &
pid=$!
for ((i = 0; i < 1500; i++)); do
    grep -q 'event=saved .*reviews/seed-2/checkpoint-' "$work/killed.log" 2>/dev/null && break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.01
done
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check "killed in the second stage" test ! -e "$work/killed/report.json"
exits "the same command says where it goes on" 0 "goes on from its checkpoint" "${pipeline[@]}" "$work/killed" --plan
check "and does so" run on "${pipeline[@]}" "$work/killed" --servers 2 --workers 2
is "from a checkpoint, and only there" "$(grep -c 'event=started ' "$work/on.log")" 1
check "to the bits of an undisturbed one" sh -c "for run in domain reviews/seed-1 reviews/seed-2; do
    cmp '$work/whole/'\$run/model.safetensors '$work/killed/'\$run/model.safetensors || exit 1; done"

touch -d '2001-01-01' "$work"/whole/*/model.safetensors "$work"/whole/reviews/*/model.safetensors
redone() { (cd "$work/whole" && find . -name model.safetensors -newermt 2001-01-02 | sort | tr '\n' ' '); }
exits "what is done" 0 "done before" "${pipeline[@]}" "$work/whole" --quiet
is "is not done again" "$(redone)" ""
exits "another setting is refused" 78 "max_steps is 38 here" "${pipeline[@]}" "$work/whole" --set reviews.max_steps=38
head -300 "$work/data/train.tsv" >"$work/data/fewer.tsv" && mv "$work/data/fewer.tsv" "$work/data/train.tsv"
exits "so is other data" 78 "another train_file" "${pipeline[@]}" "$work/whole"
check "--fresh does that stage anew" run fresh "${pipeline[@]}" "$work/whole" --fresh --quiet
is "and no other" "$(redone)" "./reviews/seed-1/model.safetensors ./reviews/seed-2/model.safetensors "
exits "with the first stage changed the later ones go too" 0 "name=reviews number=3 of=3 output_dir=$work/whole/reviews/seed-2 what=\"is done anew\"" \
    "${pipeline[@]}" "$work/whole" --set domain.max_steps=5 --fresh --plan

exits "an input that is missing is found before anything starts" 66 "stage 'reviews'" \
    "${pipeline[@]}" "$work/none" --set reviews.train_file=gone.tsv
check "and nothing was made" test ! -e "$work/none"
exits "a folder is not trained onto itself" 78 "is the folder of the starting model" \
    "$build/shardbert" train "$work/pipe.yaml" --stage reviews --set "model_name_or_path=$work/whole/domain" \
    --set "output_dir=$work/whole/domain"
exits "a pipeline is no job" 78 "shardbert run" "$build/shardbert" train "$work/pipe.yaml"
exits "--help explains itself" 0 "Usage: shardbert run" "$build/shardbert" run --help

# The examples, with small files in the places that they name.
mkdir -p "$work/examples/reviews" "$work/examples/vocab" "$work/examples/corpus"
cp deploy/examples/* "$work/examples"
cp "$work/data/train.tsv" "$work/examples/reviews"
cp "$work/data/validation.tsv" "$work/examples/reviews"
cp "$work/data/validation.tsv" "$work/examples/reviews/test.tsv"
cp "$shared/data/tokenizer/bert-base-uncased-vocab.txt" "$work/examples/vocab/vocab.txt"
xz -c "$work/data/train.txt" >"$work/examples/corpus/a.txt.xz"
cp "$work/data/validation.txt" "$work/examples/held-out.txt"
cp -r "$work/whole/domain" "$work/examples/bert"
exits "the example of a pipeline holds together" 0 "name=without-domain number=7 of=7" \
    "$build/shardbert" run "$work/examples/reviews.yaml" --plan
exits "and so does the recipe of a small body" 0 "word_embeddings.weight                                30522 x 192" "$build/shardbert" plan "$work/examples/small-body.yaml"
