#!/usr/bin/env bash
# Task embed: vectors of texts from pairs whose likeness is known by construction: topics of words of their own.  Every loss must
# bring texts of a topic together; what comes out is a folder that embeds, evaluates and exports as it was trained.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
body=$(realpath "$shared")/data/models/bert-tiny-general
mkdir -p "$work/data"

# Texts are six words of one of eight topics; a scored pair is of one topic (5), of two (0), or shares half (2.5).
python3 - "$body/vocab.txt" "$work/data" <<'PY'
import json, random, sys
random.seed(7)
words = [w.strip() for w in open(sys.argv[1]) if w.strip().isalpha() and 4 <= len(w.strip()) <= 8]
random.shuffle(words)
topics = [words[20 * i:20 * i + 20] for i in range(8)]
def text(a, b):
    chosen = random.sample(topics[a], 6) if a == b else random.sample(topics[a], 3) + random.sample(topics[b], 3)
    random.shuffle(chosen)
    return " ".join(chosen)
for name, count in ("train", 480), ("validation", 200):
    with open(f"{sys.argv[2]}/{name}.tsv", "w") as scored, open(f"{sys.argv[2]}/{name}-same.tsv", "w") as same, \
            open(f"{sys.argv[2]}/{name}.jsonl", "w") as triplets, open(f"{sys.argv[2]}/{name}.csv", "w") as pairs:
        for _ in range(count):
            a, b, c = random.sample(range(8), 3)
            score, x, y = random.choice(((0, (a, a), (b, b)), (2.5, (a, b), (a, c)), (5, (a, a), (a, a))))
            scored.write(f"{text(*x)}\t{text(*y)}\t{score}\n")
            other = random.choice((a, b))
            same.write(f"{text(a, a)}\t{text(other, other)}\t{int(a == other)}\n")
            triplets.write(json.dumps({"anchor": text(a, a), "positive": text(a, a), "negative": text(b, b)}) + "\n")
            pairs.write(f"{text(a, a)},{text(a, a)}\n")
PY

# embed_job NAME TRAIN [LINE...]
embed_job() {
    local name=$1 train=$2
    shift 2
    {
        printf '%s\n' "task: embed" "model_name_or_path: $body" "train_file: data/$train" "output_dir: $work/$name" \
            "cache_dir: cache" "num_train_epochs: 2" "eval_on_start: true" "learning_rate: 5.0e-4" "max_seq_length: 32"
        printf '%s\n' "$@"
    } >"$work/$name.yaml"
}
# score NAME KEY: the last value of a key in the results of a run.
score() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/$1/eval_results.json" "$2"; }
# rises NAME KEY: higher at the end than before the first step; with a third word the other way round.
rises() {
    local first
    first=$(grep -m1 -o " $2=[-0-9.]*" "$work/$1.log" | cut -d= -f2)
    python3 -c 'import sys; a, b = map(float, sys.argv[1:3]); sys.exit(not (b > a if len(sys.argv) == 3 else b < a))' \
        "$first" "$(score "$1" "$2")" ${3:+"$3"}
}

embed_job scored train.tsv "validation_file: data/validation.tsv" "score_max: 5"
for loss in cosine_similarity cosent; do
    run "$loss" "$build/shardbert" train "$work/scored.yaml" --set threads=1 --set "loss=$loss" --set "output_dir=$work/$loss" || true
    check "$loss: the rank correlation rises" rises "$loss" eval_spearman
    check "$loss: the loss falls" rises "$loss" eval_loss falls
done
embed_job same train-same.tsv "validation_file: data/validation-same.tsv"
for loss in contrastive online_contrastive; do
    run "$loss" "$build/shardbert" train "$work/same.yaml" --set threads=1 --set "loss=$loss" --set "output_dir=$work/$loss" || true
    check "$loss: the rank correlation rises" rises "$loss" eval_spearman
done
embed_job triplet train.jsonl "validation_file: data/validation.jsonl" "loss: TripletLoss"
run triplet "$build/shardbert" train "$work/triplet.yaml" --set threads=1 || true
check "triplet: the positive is nearer more often" rises triplet eval_accuracy
embed_job ranking train.csv "validation_file: data/validation.csv"
run ranking "$build/shardbert" train "$work/ranking.yaml" --set threads=1 || true
check "pairs alone: the positive is the nearest of 64 more often" rises ranking eval_accuracy

run again "$build/shardbert" train "$work/scored.yaml" --servers 2 --workers 3 --set threads=1 --set slots=8 --set "output_dir=$work/again" || true
run whole "$build/shardbert" train "$work/scored.yaml" --set threads=2 --set slots=8 --set "output_dir=$work/whole" || true
check "2 servers and 3 workers: same bits as embedded with 2 threads" same_weights "$work/whole" "$work/again"
is "2 servers and 3 workers: same correlation" "$(score again eval_spearman)" "$(score whole eval_spearman)"

run eval "$build/shardbert" eval --model "$work/cosine_similarity" --task embed --data "$work/data/validation.tsv" --score-max 5 --json || true
is "eval says what the training said" \
    "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["spearman"])' "$work/eval.log")" "$(score cosine_similarity eval_spearman)"
cut -f1 "$work/data/validation.tsv" >"$work/data/texts.txt"
run vectors "$build/shardbert" embed --model "$work/cosine_similarity" "$work/data/texts.txt" || true
is "a vector for each text" "$(grep -c embedding "$work/vectors.log")" 200
check "the folder is one of sentence-transformers" test -f "$work/cosine_similarity/1_Pooling/config.json" -a -f "$work/cosine_similarity/modules.json"
check "it exports" run export "$build/shardbert" export --model "$work/cosine_similarity" --format onnx --output "$work/onnx"

exits "a loss that the data cannot have" 78 "loss triplet needs pairs with a negative, but" \
    "$build/shardbert" train "$work/scored.yaml" --set loss=triplet --set "output_dir=$work/none"
exits "scores out of range" 65 "set score_max to the largest that there is" \
    "$build/shardbert" train "$work/scored.yaml" --set score_max=1 --set "output_dir=$work/none"
