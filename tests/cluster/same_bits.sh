#!/usr/bin/env bash
# The promise everything leans on: the number of servers, workers and threads, and the transport,
# leave no trace in the weights.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data

for task in mlm classify; do
    small_job "$task" "$task" "$work/$task-embedded"
    if ! run "$task-embedded" "$build/shardbert" train "$work/$task.yaml" --set threads=2; then
        not_ok "$task: the embedded run ends"
        continue
    fi
    ok "$task: the embedded run ends"

    out=$work/$task-thread
    run "$task-thread" "$build/shardbert" train "$work/$task.yaml" --set threads=1 \
        --set "output_dir=$out" || true
    check "$task: 1 and 2 threads, same bits" same_weights "$work/$task-embedded" "$out"

    for shape in 1x1 1x2 2x3 4x5; do
        out=$work/$task-$shape
        servers=${shape%x*} workers=${shape#*x}
        run "$task-$shape" "$build/shardbert" train "$work/$task.yaml" --servers "$servers" \
            --workers "$workers" --set threads=1 --set "output_dir=$out" || true
        check "$task: $servers servers and $workers workers, same bits" \
            same_weights "$work/$task-embedded" "$out"
    done

    out=$work/$task-mpi
    settings=(--set threads=1 --set "output_dir=$out")
    run "$task-mpi" mpirun -np 2 "$build/shardbert-ps" "$work/$task.yaml" "${settings[@]}" : \
        -np 2 "$build/shardbert-worker" "$work/$task.yaml" "${settings[@]}" || true
    check "$task: mpirun with 2 servers and 2 workers, same bits" \
        same_weights "$work/$task-embedded" "$out"
done

out=$work/dense
run dense "$build/shardbert" train "$work/classify.yaml" --set row_sparse=false \
    --set "output_dir=$out" || true
check "classify: row-sparse embeddings equal the dense run" \
    same_weights "$work/classify-embedded" "$out"

# Another number of slots is another order of summation and nothing else: in float32, after 12 steps, far below the
# change that training made.
out=$work/slots
run slots "$build/shardbert" train "$work/classify.yaml" --set slots=2 --set "output_dir=$out-2" || true
run slots "$build/shardbert" train "$work/classify.yaml" --set slots=8 --set "output_dir=$out-8" || true
check "classify: 2 and 8 slots differ by rounding only" \
    python3 tests/support/safetensors_diff.py --within 1e-4 "$out-2/model.safetensors" "$out-8/model.safetensors"
