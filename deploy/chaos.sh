#!/usr/bin/env bash
# A trial on this machine: a small job runs once undisturbed, and once with servers and workers while
# processes are killed or stopped at random. Then it says whether the weights are the same, and, where there is a
# python3, whether the ledgers of all processes prove that every slot of every step was counted once.
#
#   deploy/chaos.sh [--faults N] [--seed S] [--servers S] [--workers W] [--job JOB.yaml] [FOLDER]
#
# Without --job it makes texts and a small fresh model of its own. With one, that job is run, with
# output in FOLDER; take one that lasts some minutes. FOLDER is build/chaos by default, and is
# emptied. The exit code is 0 when the run ended well with the same bits and a clean ledger.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")/.." && pwd)
build=${SHARDBERT_BUILD:-$here/build}
faults=20 seed=$RANDOM servers=2 workers=3 job='' folder=$here/build/chaos

fail() {
    echo "chaos: $1" >&2
    exit "$2"
}

while [ $# -gt 0 ]; do
    case $1 in
    --faults | --seed | --servers | --workers | --job)
        [ $# -ge 2 ] || fail "$1 wants a value" 64
        declare "${1#--}=$2"
        shift ;;
    --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*) fail "unknown option '$1'; see $0 --help" 64 ;;
    *) folder=$1 ;;
    esac
    shift
done
for number in "$faults" "$seed" "$servers" "$workers"; do
    [[ $number =~ ^[0-9]+$ ]] || fail "'$number' is no number" 64
done
[ $((servers * workers)) -gt 0 ] || fail "a server and a worker are needed" 64
[ -x "$build/shardbert" ] || fail "no program in '$build': build first (deploy/quickstart.sh does)" 66
[ -z "$job" ] || [ -f "$job" ] || fail "no such job: '$job'" 66
RANDOM=$seed # the choice of victims; what they are doing at that moment is up to the machine
folder=$(realpath -m "$folder")
rm -rf "$folder"
mkdir -p "$folder"

# Two kinds of sentences, told apart by their words.
make_job() {
    awk -v seed="$seed" 'BEGIN {
        srand(seed)
        split("red green yellow fresh ripe sweet", a); split("apple pear plum grape cherry lemon", b)
        split("loud fast old heavy broken new", c); split("engine truck hammer pump saw crane", d)
        split("is was looks seems stays became", v); split("today here again often outside now", w)
        for (i = 0; i < 2000; i++) {
            kind = int(rand() * 2)
            adjective = kind ? c[1 + int(rand() * 6)] : a[1 + int(rand() * 6)]
            noun = kind ? d[1 + int(rand() * 6)] : b[1 + int(rand() * 6)]
            printf "%s\tthe %s %s %s %s\n", kind ? "tool" : "fruit", adjective, noun, v[1 + int(rand() * 6)], w[1 + int(rand() * 6)]
        }
    }' >"$folder/train.tsv"
    cut -f2 "$folder/train.tsv" >"$folder/words.txt"
    "$build/shardbert" vocab --size 200 --output "$folder/vocab" "$folder/words.txt" >"$folder/vocab.log" 2>&1
    cat >"$folder/shape.json" <<JSON
{"model_type": "bert", "vocab_size": 200, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
 "intermediate_size": 256, "max_position_embeddings": 32}
JSON
    job=$folder/job.yaml
    cat >"$job" <<YAML
task: classify
config_name: shape.json
tokenizer_name: vocab
train_file: train.tsv
output_dir: unused
batch_size: 64
slots: 8
max_steps: $((60 * faults + 200))
learning_rate: 1.0e-4
save_steps: 50
logging_steps: 10
YAML
}

# children PARENT: servers and workers that run now, a line each: pid and name.
children() { pgrep -P "$1" -a 2>/dev/null | sed -nE 's/^([0-9]+) .*shardbert-(ps|worker) .*--index=([0-9]+) .*/\1 \2 \3/p'; }

[ -n "$job" ] || make_job
echo "the undisturbed run"
"$build/shardbert" train "$job" --set "output_dir=$folder/alone" --set "cache_dir=$folder/cache" \
    --set metrics_address=off >"$folder/alone.log" 2>&1 ||
    fail "the job does not even end undisturbed; see $folder/alone.log" 70

echo "the run with $servers servers, $workers workers and up to $faults faults (seed $seed)"
begin=$SECONDS
"$build/shardbert" train "$job" --servers "$servers" --workers "$workers" --set "output_dir=$folder/chaos" \
    --set "cache_dir=$folder/cache" --set threads=1 --set metrics_address=off --set "max_restarts=$((2 * faults + 5))" \
    --set restart_delay_ms=50 --set push_timeout_ms=300 --set "ledger_dir=$folder/ledger" >"$folder/chaos.log" 2>&1 </dev/null &
launcher=$!
for ((i = 0; i < 600; i++)); do
    grep -qE '(^| )step=[0-9]+ ' "$folder/chaos.log" && break
    kill -0 "$launcher" 2>/dev/null || break
    sleep 0.1
done

done_faults=0
while [ "$done_faults" -lt "$faults" ] && kill -0 "$launcher" 2>/dev/null; do
    sleep "0.$((RANDOM % 9 + 1))"
    mapfile -t there < <(children "$launcher")
    [ ${#there[@]} -gt 0 ] || continue
    read -r pid name index <<<"${there[RANDOM % ${#there[@]}]}"
    if [ $((RANDOM % 4)) -eq 0 ]; then
        kill -STOP "$pid" 2>/dev/null || continue
        sleep "$((RANDOM % 2)).$((RANDOM % 9 + 1))"
        kill -CONT "$pid" 2>/dev/null || true
        echo "  $name $index was stopped for a while"
    else
        kill -KILL "$pid" 2>/dev/null || continue
        echo "  $name $index was killed"
    fi
    done_faults=$((done_faults + 1))
done
code=0
wait "$launcher" || code=$?

again=$(grep -c 'it is started again' "$folder/chaos.log" || true)
back=$(grep -cE 'go back from step|go back to' "$folder/chaos.log" || true)
audit() {
    if ! command -v python3 >/dev/null; then
        echo "ledger: not checked, for there is no python3"
    elif [ ! -f "$here/tests/support/ledger.py" ]; then
        echo "ledger: not checked, for tests/support/ledger.py is not here"
    else
        python3 "$here/tests/support/ledger.py" "$folder/ledger" --finished 1
    fi
}

echo "$done_faults faults in $((SECONDS - begin)) s: $again processes were started again, $back times all went back to a checkpoint"
if [ "$code" -ne 0 ]; then
    echo "FAILED: the run ended with $code; the same command would resume; see $folder/chaos.log"
    exit 1
elif ! audit; then
    echo "FAILED: the ledgers in $folder/ledger contradict the run"
    exit 1
elif cmp -s "$folder/alone/model.safetensors" "$folder/chaos/model.safetensors"; then
    echo "PASSED: the weights are those of the undisturbed run, to the last bit"
else
    echo "FAILED: the weights differ from those of the undisturbed run"
    exit 1
fi
