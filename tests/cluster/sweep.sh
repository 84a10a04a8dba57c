#!/usr/bin/env bash
# A sweep over frozen layers: one run a row, scores with intervals, a picture; nothing is done twice;
# a signal stops it with a checkpoint and the same command goes on.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e # commands that fail are looked at too
small_job job classify "$work/unused"
sweep() { "$build/shardbert" sweep freeze "$work/job.yaml" --output "$1" "${@:2}"; }

check "a sweep of two layers runs" run first "$build/shardbert" sweep freeze "$work/job.yaml" --output "$work/one"
is "it has nothing, one, two and the body" "$(jq -c '[.rows[].frozen]' "$work/one/sweep.json")" '["0","1","2","body"]'
is "less and less is trained and moved" "$(jq '[.rows[].trained_parameters] as $t | [.rows[].bytes_per_step] as $b
    | ($t == ($t | sort | reverse)) and ($b == ($b | sort | reverse))' "$work/one/sweep.json")" true
is "the body frozen trains the head alone" "$(jq '.rows[3].trained_parameters' "$work/one/sweep.json")" 130
is "each score lies in its interval, of all validation examples" "$(jq \
    'all(.rows[]; .interval.low <= .score and .score <= .interval.high and .examples == 80)' "$work/one/sweep.json")" true
is "the interval of F1 is a bootstrap" "$(jq -r '.rows[0].interval.method' "$work/one/sweep.json")" bootstrap
check "the picture is XML" python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$work/one/sweep.svg"
check "the table says which split" grep -q "validation split" "$work/first.log"
run plain "$build/shardbert" train "$work/job.yaml" --set freeze=layers:1 --set "output_dir=$work/plain"
check "a row is the run that train makes" same_weights "$work/plain" "$work/one/frozen-1"

touch -d '2001-01-01' "$work"/one/frozen-*/model.safetensors
exits "the same sweep again, by accuracy" 0 "Wilson" sweep "$work/one" --metric accuracy
is "does no run again" "$(find "$work/one" -name model.safetensors -newermt 2001-01-02 | wc -l)" 0
exits "other settings are refused by name" 78 "learning_rate" sweep "$work/one" --set learning_rate=2e-5
exits "an unknown metric names the others" 64 "eval_f1_macro" sweep "$work/one" --metric f7

sed 's/^max_steps: .*/max_steps: 400/' "$work/job.yaml" >"$work/long.yaml"
"$build/shardbert" sweep freeze "$work/long.yaml" --output "$work/two" >"$work/stopped.log" 2>&1 &
pid=$!
for ((i = 0; i < 600; i++)); do
    grep -q 'event=step.* step=10 ' "$work/stopped.log" && break
    sleep 0.02
done
kill -TERM "$pid"
wait "$pid"
is "SIGTERM stops a sweep with 143" $? 143
check "with a checkpoint" test -n "$(find "$work/two/frozen-0" -name MANIFEST.json)"
check "and the same command goes on from there" sh -c "
    '$build/shardbert' sweep freeze '$work/long.yaml' --output '$work/two' --set logging_steps=100 2>&1 |
    grep -m1 -qE 'event=started .*step=[1-9]'"

exits "without a kind it is wrong use" 64 "freeze" "$build/shardbert" sweep
exits "without --output it is wrong use" 64 "--output" "$build/shardbert" sweep freeze "$work/job.yaml"
exits "--help explains itself" 0 "Usage: shardbert sweep" "$build/shardbert" sweep --help
sed '/^validation_file/d' "$work/job.yaml" >"$work/blind.yaml"
exits "without validation data there is no score" 78 "validation_file" "$build/shardbert" sweep freeze "$work/blind.yaml" --output "$work/three"
sed "s#^validation_file: .*#&\ntest_file: data/validation.tsv#" "$work/job.yaml" >"$work/tested.yaml"
exits "a test split is not chosen on, and this is said" 0 "nothing is chosen on test_file" \
    "$build/shardbert" sweep freeze "$work/tested.yaml" --output "$work/one"
exits "and is shown for the chosen run" 0 "best on validation: frozen" \
    "$build/shardbert" sweep freeze "$work/tested.yaml" --output "$work/four" --set max_steps=2 --set save_steps=0
check "a validation set that is the test set is called out" grep -q "chosen on the test set" "$work/stderr"
check "the test score stands there for no other run" test "$(grep -c test_f1_macro "$work/stdout")" = 1
