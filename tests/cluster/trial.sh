#!/usr/bin/env bash
# deploy/chaos.sh, as a user runs it: a few random faults, and the same weights.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
trial() { SHARDBERT_BUILD=$build timeout 200 deploy/chaos.sh --faults 6 --seed "${SEED:-1}" "$work/chaos" >"$work/trial.log" 2>&1; }
check "a trial with random faults passes" trial
check "it gives its verdict in words" grep -q "^PASSED: the weights are those of the undisturbed run" "$work/trial.log"
check "and what the ledgers prove" grep -qE "^ledger: [1-9][0-9]* slots of [1-9][0-9]* steps, each once" "$work/trial.log"
grep -q '^PASSED' "$work/trial.log" || sed 's/^/# /' "$work/trial.log"
exits "a count that is no number" 64 "'many' is no number" deploy/chaos.sh --faults many
exits "a job that is not there" 66 "no such job" env "SHARDBERT_BUILD=$build" deploy/chaos.sh --job nowhere.yaml
