#!/usr/bin/env bash
# Exported folders in the hands of others: onnx.checker reads the graphs, ONNX Runtime and transformers.js
# run them, and the answers are those of predict, embed and fill-mask.  The JavaScript packages are
# fetched into a temporary folder (seconds); where npm or its registry is out of reach this is
# skipped, and fails under CI=true.
source "$(dirname "$0")/../support/cluster.sh"
set +e # commands that fail are what is looked at here

npm_packages=(onnxruntime-node@1.30.0 @huggingface/transformers@4.3.1)
python=/usr/bin/python3 # the one that sees Debian's packages
tolerance=2e-5          # both sides compute in float; times max(1, |number|)

shardbert=$build/shardbert
golden=tests/golden/commands
small=$golden/model
general=$shared/data/models/bert-tiny-general

# unavailable WHAT: a tool that is needed is not there.
unavailable() {
    if [ "${CI:-}" = true ]; then not_ok "$1"; else echo "skip $1"; fi
}

# export_to NAME FORMAT MODEL [OPTION...]: into $work/NAME.
export_to() {
    local name=$1 format=$2 model=$3
    shift 3
    if ! "$shardbert" export --model "$model" --format "$format" --output "$work/$name" "$@" \
        2>"$work/stderr"; then
        not_ok "export of $name" "$(head -c 300 "$work/stderr")"
    fi
}

# answers NAME COMMAND MODEL TEXTS [OPTION...]: into $work/NAME.
answers() {
    local name=$1 command=$2 model=$3 texts=$4
    shift 4
    "$shardbert" "$command" --model "$model" "$@" "$texts" >"$work/$name" 2>"$work/stderr" ||
        not_ok "answers of $name" "$(head -c 300 "$work/stderr")"
}

# expect NAME KIND FOLDER TEXTS ANSWERS: a line for check_export.mjs.
expect() {
    jq -nc --arg name "$1" --arg kind "$2" --arg folder "$3" --arg texts "$4" \
        --arg answers "$work/$5" --argjson tolerance "$tolerance" '$ARGS.named' >>"$work/checks"
}

# --- the folders ---------------------------------------------------------------------------------
texts=$PWD/$golden/texts.txt
export_to classes classifier $small
answers classes.jsonl predict $small "$texts" --logits
expect "ONNX Runtime gives the logits of predict" logits classes "$texts" classes.jsonl
grep -v '^{' "$texts" | head -4 >"$work/plain.txt"
answers plain.jsonl predict $small "$work/plain.txt"
expect "transformers.js classifies as predict does" classes classes "$work/plain.txt" plain.jsonl

mkdir "$work/tanh-model"
cp $small/* "$work/tanh-model"
sed -i 's/"hidden_act": "gelu"/"hidden_act": "gelu_new"/' "$work/tanh-model/config.json"
export_to tanh onnx "$work/tanh-model"
answers tanh.jsonl predict "$work/tanh-model" "$texts" --logits
expect "the tanh form of GELU is the one of predict" logits tanh "$texts" tanh.jsonl

# The classifier of texts as one of tokens; the bias makes its tags differ.
mkdir "$work/tagger"
cp $small/* "$work/tagger"
sed -i 's/SequenceClassification/TokenClassification/; s/sport/O/; s/weather/B-W/; s/food/I-W/' "$work/tagger/config.json"
python3 - "$work/tagger/model.safetensors" <<'PYTHON'
import json, struct, sys
with open(sys.argv[1], "r+b") as file:
    end = 8 + struct.unpack("<Q", file.read(8))[0]
    header = json.loads(file.read(end - 8))
    file.seek(end + header["classifier.bias"]["data_offsets"][0])
    file.write(struct.pack("<3f", 0, -2.5, -0.3))
PYTHON
export_to tags onnx "$work/tagger"
head -3 "$work/plain.txt" | sed 's/\[MASK\]/game, playing/' >"$work/words.txt"
answers words.jsonl predict "$work/tagger" "$work/words.txt" --aggregation none
is "the tagger's tags differ" "$(jq -s '[.[].tags[]] | unique | length' "$work/words.jsonl")" 3
expect "transformers.js tags words as predict does" tags tags "$work/words.txt" words.jsonl

for pooling in mean cls max; do
    export_to $pooling onnx $small --head embed --pooling $pooling
    answers $pooling.jsonl embed $small "$texts" --pooling $pooling
    expect "sentence embedding by $pooling is that of embed" sentence $pooling "$texts" $pooling.jsonl
done
export_to sentences sentence-transformers $small --pooling max --normalize --max-length 20
export_to again onnx "$work/sentences"
answers again.jsonl embed $small "$texts" --pooling max --normalize --max-length 20
expect "a sentence-transformers folder says how it is pooled" sentence again "$texts" again.jsonl
answers sentences.jsonl embed "$work/sentences" "$texts" --pooling max --normalize --max-length 20
answers asked.jsonl embed "$work/sentences" "$texts"
is "and embed does as it says" "$(cksum <"$work/asked.jsonl")" "$(cksum <"$work/again.jsonl")"
is "its body is the body that went in" "$(cksum <"$work/sentences.jsonl")" "$(cksum <"$work/again.jsonl")"

# A head on the small body's embeddings, one against the rest, as scikit-learn has its numbers.
export_to fitted sentence-transformers $small --normalize
python3 - "$work/fitted" <<'PYTHON'
import json, struct, sys
rows = [[((i * 7 + k * 3) % 13) / 3 - 2 for i in range(16)] for k in range(2)]
numbers = struct.pack("<32d", *rows[0], *rows[1]) + struct.pack("<2d", 0.5, -0.25)
header = json.dumps({"coef": {"dtype": "F64", "shape": [2, 16], "data_offsets": [0, 256]},
                     "intercept": {"dtype": "F64", "shape": [2], "data_offsets": [256, 272]}}).encode()
header += b" " * (-len(header) % 8)
with open(sys.argv[1] + "/head.safetensors", "wb") as file:
    file.write(struct.pack("<Q", len(header)) + header + numbers)
json.dump({"kind": "one_vs_rest", "labels": ["a", "b"], "classes": ["a", "b"], "embedding_size": 16,
           "normalize_embeddings": True, "C": 1.0}, open(sys.argv[1] + "/head.json", "w"))
json.dump({"coef": rows, "intercept": [0.5, -0.25]}, open(sys.argv[1] + "/numbers", "w"))
PYTHON
export_to folded classifier "$work/fitted"
answers fitted.jsonl embed "$work/fitted" "$texts" --normalize
jq -c --slurpfile head "$work/fitted/numbers" '.embedding as $x | {logits: [$head[0] | . as $h |
    range(2) as $k | $h.intercept[$k] + ([range(16) | $h.coef[$k][.] * $x[.]] | add)]}' \
    "$work/fitted.jsonl" >"$work/folded.jsonl"
expect "a head on embeddings becomes part of the graph" logits folded "$texts" folded.jsonl
is "and says that several labels may hold" "$(jq -r .problem_type "$work/folded/config.json")" \
    multi_label_classification

# golden_model NAME ARCHITECTURE LAYERS HEADS ACTIVATION: a model of tests/golden, as a folder.
golden_model() {
    local name=$1 file=$PWD/tests/golden/bert_$1.safetensors
    mkdir "$work/model-$name"
    cp "$file" "$work/model-$name/model.safetensors"
    head -c "$(($(od -An -tu8 -N8 "$file") + 8))" "$file" | tail -c +9 |
        jq --arg architecture "$2" --argjson layers "$3" --argjson heads "$4" --arg act "$5" '
            def shape(name): .[name].shape;
            shape("bert.embeddings.word_embeddings.weight") as [$v, $c] | {
                architectures: [$architecture], model_type: "bert", vocab_size: $v, hidden_size: $c,
                num_hidden_layers: $layers, num_attention_heads: $heads, hidden_act: $act,
                intermediate_size: shape("bert.encoder.layer.0.intermediate.dense.bias")[0],
                max_position_embeddings: shape("bert.embeddings.position_embeddings.weight")[0],
                num_labels: shape("classifier.bias")[0]?}' >"$work/model-$name/config.json"
    printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' >"$work/model-$name/vocab.txt"
    export_to "torch-$name" onnx "$work/model-$name"
    expect "ONNX Runtime's loss is PyTorch's: $name" loss "torch-$name" "" "model-$name/model.safetensors"
}
golden_model classify BertForSequenceClassification 3 3 gelu_new
golden_model mlm BertForMaskedLM 1 2 gelu
golden_model mlm_tanh BertForMaskedLM 2 4 gelu_new
golden_model tokens BertForTokenClassification 2 2 gelu

graphs=("$work"/{classes,tanh,tags,mean,cls,max,again,folded,torch-{classify,mlm,mlm_tanh,tokens}}/onnx/model.onnx)
if [ -d "$general" ]; then
    cut -f2 "$shared/data/classification/rotten_tomatoes/validation.tsv" | head -30 >"$work/reviews.txt"
    awk '{ $(int(NF / 2) + 1) = "[MASK]"; print }' "$work/reviews.txt" >"$work/masked.txt"
    export_to body onnx "$general" --head body
    answers body.jsonl embed "$general" "$work/reviews.txt"
    expect "transformers.js's features are those of embed" features body "$work/reviews.txt" body.jsonl
    export_to masked onnx "$general"
    answers masked.jsonl fill-mask "$general" "$work/masked.txt" --top-k 5
    expect "transformers.js proposes the words of fill-mask" fill-mask masked "$work/masked.txt" masked.jsonl
    graphs+=("$work"/{body,masked}/onnx/model.onnx)
else
    unavailable "no model in '$general' (SHARDBERT_SHARED)"
fi

# --- what others say -----------------------------------------------------------------------------
if $python -c 'import onnx' 2>/dev/null; then
    $python tests/support/check_onnx.py "${graphs[@]}"
else
    unavailable "$python has no onnx (python3-onnx)"
fi

fetch_packages() {
    mkdir "$work/npm" && cp tests/support/check_export.mjs "$work/npm" && cd "$work/npm" &&
        echo '{"private": true}' >package.json &&
        timeout 300 npm install --ignore-scripts --no-audit --no-fund --prefer-offline "${npm_packages[@]}"
}
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    unavailable "no node and npm to run the exported graphs"
elif ! (fetch_packages) >"$work/npm.log" 2>&1; then
    unavailable "npm install of ${npm_packages[*]}: $(grep -m1 'npm error' "$work/npm.log")"
else
    timeout 300 node "$work/npm/check_export.mjs" "$work" <"$work/checks" 2>"$work/stderr" ||
        not_ok "check_export.mjs" "$(head -c 300 "$work/stderr")"
fi

# --- what goes wrong -----------------------------------------------------------------------------
wrong() {
    local name=$1 code=$2 words=$3
    shift 3
    exits "$name" "$code" "$words" "$shardbert" export "$@"
}
exits "export --help explains itself" 0 "Usage: shardbert export" "$shardbert" export --help
wrong "a missing format is wrong use" 64 "--format" --model $small --output "$work/x"
wrong "an unknown format is wrong use" 64 "sentence-transformers" --model $small --format pickle --output "$work/x"
wrong "a missing output is wrong use" 64 "--output" --model $small --format onnx
wrong "pooling without an embedding is wrong use" 64 "--head embed" --model $small --format onnx --pooling cls --output "$work/x"
wrong "a missing model is missing input" 66 "$work/none" --model "$work/none" --format onnx --output "$work/x"
wrong "the model's own folder is not written" 73 "own folder" --model "$work/tanh-model" --format onnx --output "$work/tanh-model/."
wrong "a classifier that is not there is bad data" 65 "no classifier" --model "$work/sentences" --format classifier --output "$work/x"
: >"$work/file"
wrong "an output that cannot be made is named" 73 "$work/file" --model $small --format onnx --output "$work/file/x"
