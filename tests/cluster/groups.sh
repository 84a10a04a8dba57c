#!/usr/bin/env bash
# A loss that compares the texts of a whole step (tasks setfit and embed), through servers and workers: their number, threads, a
# stop, a killed worker leave no trace in the weights.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data

# group_job NAME LOSS: writes $work/NAME.yaml; the model goes to $work/NAME.
group_job() {
    {
        echo "task: setfit"
        echo "loss: $2"
        echo "model_name_or_path: $(realpath "$shared")/data/models/bert-tiny-general"
        echo "train_file: data/train.tsv"
        echo "output_dir: $work/$1"
        echo "cache_dir: cache"
        echo "samples_per_label: 8"
        echo "max_seq_length: 32"
        echo "batch_size: 16"
        echo "slots: 8"
        echo "max_steps: 6"
        echo "learning_rate: 1.0e-4"
        echo "logging_steps: 1"
        echo "push_timeout_ms: 300"
        echo "worker_timeout_s: 2"
    } >"$work/$1.yaml"
}

# train NAME JOB [ARGUMENT...]: the job once more, into $work/NAME.
train() {
    local name=$1 job=$2
    shift 2
    run "$name" "$build/shardbert" train "$work/$job.yaml" --set threads=1 --set "output_dir=$work/$name" "$@" || true
}

group_job whole online_contrastive
if ! run whole "$build/shardbert" train "$work/whole.yaml" --set threads=2; then
    not_ok "a loss of the whole step trains"
    exit 0
fi
ok "a loss of the whole step trains"
for shape in 2x3 1x5; do
    train "$shape" whole --servers "${shape%x*}" --workers "${shape#*x}"
    check "servers x workers $shape: same bits as embedded with 2 threads" same_weights "$work/whole" "$work/$shape"
done

group_job ranking multiple_negatives_ranking
train ranking ranking
train ranking-2x2 ranking --servers 2 --workers 2
check "ranking among the texts of a step: same bits embedded and with 2 servers and 2 workers" \
    same_weights "$work/ranking" "$work/ranking-2x2"
train slots ranking --set slots=2
check "ranking: 2 and 8 slots differ by rounding only" \
    python3 tests/support/safetensors_diff.py --within 1e-4 "$work/ranking/model.safetensors" "$work/slots/model.safetensors"

# Pairs without a score: each text is ranked among all texts of the step.
paste <(head -32 "$work/data/train.txt") <(sed -n 33,64p "$work/data/train.txt") >"$work/data/pairs.tsv"
sed -e 's/^task: .*/task: embed/' -e '/^loss: /d' -e '/^samples_per_label: /d' -e 's/train\.tsv/pairs.tsv/' \
    "$work/ranking.yaml" >"$work/pairs.yaml"
train pairs pairs
train pairs-2x3 pairs --servers 2 --workers 3
check "task embed: same bits embedded and with 2 servers and 3 workers" same_weights "$work/pairs" "$work/pairs-2x3"

# stop_after NAME PATTERN SIGNAL PID: once the log has the pattern.
stop_after() {
    local waits
    for ((waits = 0; waits < 600; waits++)); do
        grep -q "$2" "$work/$1.log" 2>/dev/null && break
        sleep 0.05
    done
    kill "-$3" "$4" 2>/dev/null || true
}

"$build/shardbert" train "$work/whole.yaml" --servers 2 --workers 2 --set threads=1 \
    --set "output_dir=$work/resumed" >"$work/stopped.log" 2>&1 &
pid=$! rc=0
stop_after stopped " step=2 " TERM "$pid"
wait "$pid" || rc=$?
is "SIGTERM in the middle ends with 143" "$rc" 143
train resumed whole
check "stopped and resumed in one process: same bits" same_weights "$work/whole" "$work/resumed"

common=("$work/whole.yaml" --servers 1 --workers 3 --address="ipc://$work/k.sock" --set threads=1
    --set "output_dir=$work/killed")
timeout 100 "$build/shardbert-ps" "${common[@]}" --index 0 --bind="ipc://$work/k.sock" >"$work/killed.log" 2>&1 &
server=$! rc=0 pids=()
for i in 0 1 2; do
    "$build/shardbert-worker" "${common[@]}" --index "$i" >"$work/killed-$i.log" 2>&1 &
    pids[i]=$!
done
stop_after killed " step=2 " KILL "${pids[1]}"
{
    wait "$server" || rc=$?
    wait "${pids[@]}" || true
} 2>/dev/null # the shell would say who was killed
is "a killed worker does not end the run" "$rc" 0
check "a killed worker's texts are published by the others: same bits" same_weights "$work/whole" "$work/killed"
