#!/usr/bin/env bash
# Installs what the tests need, builds, and runs every suite:
#
#   tests/run.sh          unit, numeric, sim; unit and numeric under the sanitizers; formal, cluster
#   tests/run.sh --all    and the long suites (tests/cluster/long_*.sh, sim under the sanitizers)
#
# The last line is `N passed, N failed, N skipped`; the exit code is 0 only if nothing failed.
# A test program's cases count one by one; under the sanitizers a program counts once.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 70

sanitized='unit|numeric'
long=false
for argument in "$@"; do
    case "$argument" in
    --all) long=true; sanitized='unit|numeric|sim' ;;
    --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "run.sh: unknown option '$argument'" >&2; exit 64 ;;
    esac
done

passed=0
failed=0
skipped=0
notes=()
logs=$(mktemp -d "${TMPDIR:-/tmp}/shardbert-run-XXXXXX")
trap 'rm -rf "$logs"' EXIT

fail_one() {
    failed=$((failed + 1))
    notes+=("failed: $1")
}

finish() {
    echo
    [ ${#notes[@]} -eq 0 ] || printf '%s\n' "${notes[@]}"
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}

phase() {
    echo
    echo "== $1"
}

# build FOLDER CMAKE_OPTIONS...
build() {
    local folder=$1
    shift
    cmake -S . -B "$folder" -G Ninja "$@" >"$logs/cmake" 2>&1 || { cat "$logs/cmake"; return 1; }
    ninja -C "$folder" >"$logs/ninja" 2>&1 || { grep -v '^\[' "$logs/ninja" | head -100; return 1; }
    grep -E 'warning:' "$logs/ninja" || true
}

# Adds up what cmocka printed: cases that passed, failed and were skipped, these two by name.
count_cases() {
    local log=$1 name
    passed=$((passed + $(grep -cE '^[0-9]+: \[       OK \]' "$log")))
    while read -r name; do fail_one "$name"; done < <(
        grep -E '^[0-9]+: \[  FAILED  \] [A-Za-z_][A-Za-z0-9_]*$' "$log" | sort -u | sed 's/.*\] //')
    while read -r name; do
        skipped=$((skipped + 1))
        notes+=("skipped: $name")
    done < <(grep -E '^[0-9]+: \[  SKIPPED \] [A-Za-z_][A-Za-z0-9_]*$' "$log" | sort -u | sed 's/.*\] //')
}

# Programs that ended badly although none of their cases failed: a crash, a timeout, a leak.
count_crashes() {
    local log=$1 number name
    while read -r number name; do
        grep -qE "^$number: \[  FAILED  \]" "$log" || fail_one "$name ended badly"
    done < <(grep -E 'Test +#[0-9]+: .*(\*\*\*|Failed)' "$log" |
        sed -E 's/.*Test +#([0-9]+): ([A-Za-z0-9_]+).*/\1 \2/' | sort -u)
}

# suite FOLDER LABELS: one ctest run, its log in $logs/ctest.
suite() {
    ctest --test-dir "$1" -L "^($2)\$" -V --timeout 300 -j 2 >"$logs/ctest" 2>&1 && return 0
    grep -E '\[  ERROR   \]|\[  FAILED  \]|ERROR: |runtime error|\*\*\*|error: ' "$logs/ctest" | head -60
    return 1
}

# script FILE: the lines of its verdict, or its exit code where it prints none.
script() {
    local name rc=0 line
    name=$(basename "$1")
    timeout 900 bash "$1" >"$logs/script" 2>&1 </dev/null || rc=$?
    grep -E '^(ok|not ok|skip) ' "$logs/script" >"$logs/verdicts" || true
    passed=$((passed + $(grep -c '^ok ' "$logs/verdicts")))
    while read -r line; do fail_one "$name: $line"; done < <(sed -n 's/^not ok //p' "$logs/verdicts")
    while read -r line; do
        skipped=$((skipped + 1))
        notes+=("skipped: $name: $line")
    done < <(sed -n 's/^skip //p' "$logs/verdicts")
    if [ "$rc" -ne 0 ] && ! grep -q '^not ok ' "$logs/verdicts"; then
        tail -20 "$logs/script"
        fail_one "$name ended with $rc"
    elif [ ! -s "$logs/verdicts" ]; then
        passed=$((passed + 1))
    fi
}

phase "packages"
if ! deploy/setup.sh --tests; then
    fail_one "deploy/setup.sh --tests"
    finish
fi

phase "scripts"
while read -r file; do
    if shellcheck "$file"; then passed=$((passed + 1)); else fail_one "shellcheck $file"; fi
done < <(git ls-files '*.sh' .ci/run 2>/dev/null || ls deploy/*.sh tests/*.sh tests/*/*.sh)

phase "build"
if ! build build -DSB_TESTS=ON -DCMAKE_BUILD_TYPE=Release; then
    fail_one "the build"
    finish
fi

phase "unit, numeric and sim suites"
suite build 'unit|numeric|sim'
count_cases "$logs/ctest"
count_crashes "$logs/ctest"

phase "$sanitized suites under AddressSanitizer and UndefinedBehaviorSanitizer"
if build build-asan -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSB_SANITIZE=address,undefined; then
    suite build-asan "$sanitized"
    passed=$((passed + $(grep -cE 'Test +#[0-9]+: .* Passed ' "$logs/ctest")))
    while read -r name; do fail_one "$name under the sanitizers"; done < <(
        grep -E 'Test +#[0-9]+: .*(\*\*\*|Failed)' "$logs/ctest" |
            sed -E 's/.*#[0-9]+: ([A-Za-z0-9_]+).*/\1/' | sort -u)
else
    fail_one "the build with sanitizers"
fi

phase "formal, cluster"
for file in tests/formal/*.sh tests/cluster/*.sh; do
    [ -e "$file" ] || continue
    case "$file" in */long_*) $long || continue ;; esac
    echo "$file"
    script "$file"
done

finish
