# Sourced by tests/cluster/*.sh: where things lie, a fresh folder, small jobs on real text, and verdicts.
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by those who source this
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# shellcheck disable=SC2034 # for those who source this
build=${SHARDBERT_BUILD:-$PWD/build}
shared=${SHARDBERT_SHARED:-../shared}
work=$(mktemp -d "${TMPDIR:-/tmp}/shardbert-cluster-XXXXXX")
trap 'rm -rf "$work"' EXIT
# Open MPI refuses root and more ranks than cores unless it is told that both are meant.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1

# Of a build with -DSB_SANITIZE=thread: libzmq, OpenBLAS and others are not instrumented, so what they do to memory
# and how they order it is not seen.  What matters of it is told in proto/net_zmq.c.
export TSAN_OPTIONS=${TSAN_OPTIONS:-ignore_noninstrumented_modules=1}
# Of one with address: tests preload libraries of their own before its runtime (chaos.c), also into timeout.
export ASAN_OPTIONS=${ASAN_OPTIONS:-verify_asan_link_order=0}

# Each promise ends in one of these lines; tests/run.sh counts them.
ok() { echo "ok $1"; }
not_ok() { echo "not ok $1${2:+: $2}"; }
# check NAME COMMAND...: one verdict.
check() {
    local name=$1
    shift
    if "$@"; then ok "$name"; else not_ok "$name"; fi
}

# is NAME GOT WANTED
is() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', expected '$3'"; fi; }

# exits NAME CODE WORDS COMMAND...: the exit code, and words of what it says.
exits() {
    local name=$1 code=$2 words=$3 rc=0
    shift 3
    "$@" >"$work/stdout" 2>"$work/stderr" </dev/null || rc=$?
    if [ "$rc" -ne "$code" ]; then
        not_ok "$name" "exit code $rc, expected $code; stderr: $(head -c 300 "$work/stderr")"
    elif ! grep -qF -- "$words" "$work/stderr" "$work/stdout"; then
        not_ok "$name" "nothing said '$words'; stderr: $(head -c 300 "$work/stderr")"
    else
        ok "$name"
    fi
}

need_shared() {
    [ -d "$shared/data" ] && return 0
    if [ "${CI:-}" = true ]; then
        not_ok "shared data in '$shared' (SHARDBERT_SHARED)"
        exit 1
    fi
    echo "skip no shared data in '$shared' (SHARDBERT_SHARED)"
    exit 0
}

# small_data: 400 lines of rotten_tomatoes, both classes, and a vocabulary; names in $work.
small_data() {
    local from=$shared/data/classification/rotten_tomatoes
    mkdir -p "$work/data"
    { head -200 "$from/train.tsv"; tail -200 "$from/train.tsv"; } >"$work/data/train.tsv"
    { head -40 "$from/validation.tsv"; tail -40 "$from/validation.tsv"; } >"$work/data/validation.tsv"
    cut -f2 "$work/data/train.tsv" >"$work/data/train.txt"
    cut -f2 "$work/data/validation.tsv" >"$work/data/validation.txt"
}

# small_job NAME TASK OUTPUT [LINE...]: writes $work/NAME.yaml.
small_job() {
    local name=$1 task=$2 output=$3 ending=tsv
    shift 3
    [ "$task" = classify ] || ending=txt
    {
        echo "task: $task"
        echo "config_name: $PWD/tests/support/small-bert.json"
        echo "tokenizer_name: $(realpath "$shared")/data/tokenizer/bert-base-uncased-vocab.txt"
        echo "train_file: data/train.$ending"
        echo "validation_file: data/validation.$ending"
        echo "output_dir: $output"
        echo "cache_dir: cache"
        echo "max_seq_length: 64"
        echo "batch_size: 16"
        echo "slots: 8"
        echo "max_steps: 12"
        echo "learning_rate: 1.0e-3"
        echo "weight_decay: 0.01"
        echo "warmup_steps: 2"
        printf '%s\n' "$@"
    } >"$work/$name.yaml"
}

# micro_job NAME TASK OUTPUT [LINE...]: the same of a model whose checkpoints are small, 20 to 40 KB.
micro_job() {
    small_job "$@"
    [ -d "$work/micro-vocab" ] ||
        "$build/shardbert" vocab --size 300 --output "$work/micro-vocab" "$work/data/train.txt" >"$work/vocab.log" 2>&1
    sed -i -e 's#small-bert.json#micro-bert.json#' -e 's#^tokenizer_name: .*#tokenizer_name: micro-vocab#' "$work/$1.yaml"
}

# run NAME COMMAND...: output into $work/NAME.log; says so when it fails.
run() {
    local name=$1
    shift
    if timeout 300 "$@" >"$work/$name.log" 2>&1; then return 0; fi
    echo "# $name failed: $*"
    tail -5 "$work/$name.log" | sed 's/^/#   /'
    return 1
}

same_weights() { cmp -s "$1/model.safetensors" "$2/model.safetensors"; }

# ledger_holds FOLDER [STEPS]: every slot of every committed step exactly once; what is wrong is in the log.
ledger_holds() {
    local rc=0
    /usr/bin/python3 tests/support/ledger.py "$1" ${2:+--finished "$2"} >"$work/ledger.log" 2>&1 || rc=$?
    sed 's/^/# /' "$work/ledger.log"
    return "$rc"
}
