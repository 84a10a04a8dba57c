#!/usr/bin/env bash
# Every role of a run serves /metrics, /healthz and /readyz from its start, also where the job asks for one port.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
set +e # commands that fail are what is looked at here
need_shared
small_data

small_job watched mlm "$work/watched" "logging_steps: 1"
sed -i 's/^max_steps: .*/max_steps: 100000/' "$work/watched.yaml"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

# endpoints: role/index/address of whoever serves, by their logs.
endpoints() {
    sed -nE 's/.*event=serving role=([a-z]+) index=([0-9]+) metrics=([0-9.:]+).*/\1 \2 \3/p' "$work/watched.log" | sort
}

# page URL: its text, if it answers with 200.
page() {
    python3 -c 'import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode())' "$1" 2>/dev/null
}

# watch NAME COMMAND...: starts it, looks at all its roles while it trains, and stops it.
watch() {
    local name=$1 pid waits=0 role index address bad=
    shift
    rm -rf "$work/watched"
    : >"$work/watched.log"
    setsid "$@" >"$work/watched.log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null && [ "$waits" -lt 1200 ] && ! grep -q 'event=step .*step=3 ' "$work/watched.log"; do
        waits=$((waits + 1))
        sleep 0.05
    done
    is "$name: every role names its address" "$(endpoints | cut -d' ' -f1,2 | tr '\n' ' ')" \
        "server 0 server 1 worker 0 worker 1 "
    is "$name: one role has the port that was asked for" "$(endpoints | grep -c ":$port\$")" 1
    while read -r role index address; do
        for name_of_page in metrics healthz readyz; do
            page "http://$address/$name_of_page" >"$work/$name_of_page" || bad="$bad $role-$index/$name_of_page"
        done
        grep -q "{role=\"$role\",index=\"$index\"" "$work/metrics" || bad="$bad $role-$index"
    done < <(endpoints)
    is "$name: all of them answer while they train" "$bad" ""
    kill -TERM "$pid"
    wait "$pid" 2>/dev/null || true # how a stopped run ends is not looked at here
}

settings=(--set "metrics_address=127.0.0.1:$port" --set threads=1)
watch processes "$build/shardbert" train "$work/watched.yaml" --servers 2 --workers 2 "${settings[@]}"
watch ranks mpirun -np 2 "$build/shardbert-ps" "$work/watched.yaml" "${settings[@]}" : \
    -np 2 "$build/shardbert-worker" "$work/watched.yaml" "${settings[@]}"
