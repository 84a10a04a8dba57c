# What the scripts of tests/cluster share. Source it; then every promise ends in one call of
#
#   ok NAME             it holds
#   not_ok NAME [WHY]   it does not
#   skip NAME WHY       it could not be tried
#
# and the script ends with `verdict`, whose exit code is 1 if anything failed. tests/run.sh counts
# the lines. $scratch is a fresh folder, removed at the end; $build is the folder of the programs.
# shellcheck shell=bash

build=${SB_BUILD:-$PWD/build}
shared=${SHARDBERT_SHARED:-$PWD/../shared}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/shardbert-test-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
failed_count=0
export build shared

ok() {
    echo "ok $1"
}

not_ok() {
    echo "not ok $1${2:+: $2}"
    failed_count=$((failed_count + 1))
}

skip() {
    if [ "${CI:-}" = true ]; then
        not_ok "$1" "$2"
    else
        echo "skip $1: $2"
    fi
}

verdict() {
    [ "$failed_count" -eq 0 ] || exit 1
    exit 0
}

# is NAME GOT WANTED
is() {
    if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got '$2', expected '$3'"; fi
}

# exits NAME CODE WORDS COMMAND...: the exit code, and words that stderr must contain.
exits() {
    local name=$1 code=$2 words=$3 rc=0
    shift 3
    "$@" >"$scratch/stdout" 2>"$scratch/stderr" </dev/null || rc=$?
    if [ "$rc" -ne "$code" ]; then
        not_ok "$name" "exit code $rc, expected $code; stderr: $(head -c 300 "$scratch/stderr")"
    elif ! grep -qF -- "$words" "$scratch/stderr" "$scratch/stdout"; then
        not_ok "$name" "nothing said '$words'; stderr: $(head -c 300 "$scratch/stderr")"
    else
        ok "$name"
    fi
}
