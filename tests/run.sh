#!/usr/bin/env bash
# Installs what the tests need, builds, and runs every suite:
#
#   tests/run.sh          unit, numeric, sim; unit and numeric under AddressSanitizer, what has threads under
#                         ThreadSanitizer; formal, cluster
#   tests/run.sh --all    and the long suites: tests/cluster/long_*.sh, everything but timing under all sanitizers,
#                         and the cluster scripts that start, stop and kill processes
#
# The last line is `N passed, N failed, N skipped`; the exit code is 0 only if nothing failed.
# A test program's cases count one by one; under the sanitizers a program counts once.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 70

sanitized='unit|numeric'
threaded='pool|log|metrics|net_zmq|fold|dataset|bert|embedding|optimizer' # programs that start threads
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

# build FOLDER TARGETS CMAKE_OPTIONS...
build() {
    local folder=$1 targets=$2
    shift 2
    cmake -S . -B "$folder" -G Ninja "$@" >"$logs/cmake" 2>&1 || { cat "$logs/cmake"; return 1; }
    # shellcheck disable=SC2086 # several targets
    ninja -C "$folder" $targets >"$logs/ninja" 2>&1 || { grep -v '^\[' "$logs/ninja" | head -100; return 1; }
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

# suite FOLDER LABELS [NAMES]: one ctest run, its log in $logs/ctest.
suite() {
    local limit=300
    ! $long || limit=1800
    ctest --test-dir "$1" -L "^($2)\$" ${3:+-R "^($3)_test\$"} -V --timeout $limit -j 2 >"$logs/ctest" 2>&1 && return 0
    grep -E '\[  ERROR   \]|\[  FAILED  \]|ERROR: |WARNING: Thread|runtime error|\*\*\*|error: ' "$logs/ctest" | head -60
    return 1
}

# programs WORDS: under a sanitizer a program of the last suite counts once.
programs() {
    local name
    passed=$((passed + $(grep -cE 'Test +#[0-9]+: .* Passed ' "$logs/ctest")))
    while read -r name; do fail_one "$name under $1"; done < <(
        grep -E 'Test +#[0-9]+: .*(\*\*\*|Failed)' "$logs/ctest" |
            sed -E 's/.*#[0-9]+: ([A-Za-z0-9_]+).*/\1/' | sort -u)
}

# script FILE [FOLDER]: the lines of its verdict, or its exit code where it prints none; with the programs of FOLDER.
script() {
    local name rc=0 line folder=${2:-build}
    name=$(basename "$1")${2:+ with $2}
    SHARDBERT_BUILD=$PWD/$folder timeout 900 bash "$1" >"$logs/script" 2>&1 </dev/null || rc=$?
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
if ! build build all -DSB_TESTS=ON -DCMAKE_BUILD_TYPE=Release; then
    fail_one "the build"
    finish
fi

phase "unit, numeric and sim suites"
suite build 'unit|numeric|sim'
count_cases "$logs/ctest"
count_crashes "$logs/ctest"

phase "$sanitized suites under AddressSanitizer and UndefinedBehaviorSanitizer"
if build build-asan all -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSB_SANITIZE=address,undefined; then
    suite build-asan "$sanitized"
    programs "the sanitizers"
else
    fail_one "the build with sanitizers"
fi

phase "threads under ThreadSanitizer"
targets="shardbert shardbert-ps shardbert-worker $(sed -E 's#(\w+)#tests/\1_test#g; s#\|# #g' <<<"$threaded")"
if $long; then targets=all; threaded=; fi
if build build-tsan "$targets" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSB_SANITIZE=thread; then
    suite build-tsan "$sanitized" "$threaded"
    programs ThreadSanitizer
    script tests/cluster/threads.sh build-tsan
else
    fail_one "the build with ThreadSanitizer"
fi

if $long; then
    phase "processes under the sanitizers"
    for name in threads members stop_resume restart kill_worker killed nonfinite trouble garbage chaos; do
        for folder in build-asan build-tsan; do
            echo "tests/cluster/$name.sh with $folder"
            script "tests/cluster/$name.sh" $folder
        done
    done
fi

phase "formal, cluster"
for file in tests/formal/*.sh tests/cluster/*.sh; do
    [ -e "$file" ] || continue
    case "$file" in */long_*) $long || continue ;; esac
    echo "$file"
    script "$file"
done

finish
