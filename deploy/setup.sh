#!/usr/bin/env bash
# Installs the Debian 12 packages that shardbert needs, and only those that are missing.
#
#   deploy/setup.sh                 what building and running needs
#   deploy/setup.sh --quickstart    and the texts that deploy/quickstart.sh learns from
#   deploy/setup.sh --tests         and what tests/run.sh needs
#   deploy/setup.sh --list          prints the packages instead, one a line
#
# Works as root or with sudo, asks no questions, and does nothing when all packages are there.
# This is the one list of packages: scripts, images and documentation refer to it.
set -euo pipefail

build_packages=(
    build-essential         # C compiler, libc headers
    cmake ninja-build pkg-config
    libzmq3-dev             # messages between workers and servers
    libprotobuf-c-dev       # heads of messages
    protobuf-c-compiler
    libopenblas-openmp-dev  # matrix products
    liblbfgs-dev            # fitting of heads on embeddings
    libopenmpi-dev          # starting a cluster with mpirun
    openmpi-bin
    libmicrohttpd-dev       # /metrics, /healthz
    libjansson-dev          # JSON
    libfyaml-dev            # job files
    libcsv-dev              # CSV files
    libutf8proc-dev         # Unicode of the tokenizer
    libxxhash-dev           # checksums
    librandom123-dev        # counter-based random numbers
    zlib1g-dev liblzma-dev libzstd-dev # .gz, .xz and .zst data
)
quickstart_packages=(
    fortunes fortunes-min   # short English texts, filed under subjects
)
test_packages=(
    libcmocka-dev           # the test programs
    shellcheck              # checks the scripts
    jq python3              # read JSON, safetensors and peaks of memory
    gzip xz-utils zstd      # makes compressed inputs
    python3-onnx            # checks exported graphs
    spin                    # searches the model of the protocol
    gcovr                   # adds up what tests/coverage.sh counted
    iproute2 nftables iptables libnetfilter-queue-dev # hosts whose network is cut, lossy or slow
    nodejs npm              # run them; a node with npm from elsewhere does as well
)

fail() {
    echo "setup: $1" >&2
    exit "$2"
}

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
}

packages=("${build_packages[@]}")
list_only=false
for argument in "$@"; do
    case "$argument" in
    --tests) packages+=("${test_packages[@]}") ;;
    --quickstart) packages+=("${quickstart_packages[@]}") ;;
    --list) list_only=true ;;
    --help | -h) usage; exit 0 ;;
    *) fail "unknown option '$argument'; see $0 --help" 64 ;;
    esac
done

if $list_only; then
    printf '%s\n' "${packages[@]}"
    exit 0
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    fail "this system has no apt-get: packages are known for Debian 12 only. Install what '$0 --list' names in your system's way" 69
fi

missing=()
for package in "${packages[@]}"; do
    # Debian's conflict with those of other sources, which serve as well.
    case "$package" in
    nodejs | npm) if command -v node >/dev/null && command -v npm >/dev/null; then continue; fi ;;
    esac
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "setup: all ${#packages[@]} packages are installed"
    exit 0
fi

as_root=(env DEBIAN_FRONTEND=noninteractive)
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
        fail "these packages are missing and installing needs root or sudo: ${missing[*]}" 77
    as_root=(sudo env DEBIAN_FRONTEND=noninteractive)
fi

echo "setup: installing ${#missing[@]} of ${#packages[@]} packages: ${missing[*]}"
"${as_root[@]}" apt-get -q update ||
    echo "setup: apt-get update failed; trying with the lists that are here" >&2
"${as_root[@]}" apt-get -q install -y --no-install-recommends "${missing[@]}" ||
    fail "apt-get could not install: ${missing[*]}" 69
echo "setup: done"
