# Sourced by tests/cluster/*.sh, after cluster.sh: several hosts on one network, as network namespaces, and what may go
# wrong between them.  The bridge lies in a namespace of its own, so nothing of this machine's network is touched.
# shellcheck shell=bash
# shellcheck disable=SC2154 # work is cluster.sh's

hosts_id="sb$$"
hosts_count=0 hosts_slow=false hosts_delays=()

# need_hosts: ends the script with a reason where there is no way to have them.
need_hosts() {
    local program why=
    for program in ip nft tc unshare; do
        command -v "$program" >/dev/null || why="no $program"
    done
    if [ -z "$why" ] && ! ip netns add "$hosts_id-try" 2>/dev/null; then
        why="network namespaces cannot be made here (they need root)"
    fi
    if [ -z "$why" ] && ! { ip -n "$hosts_id-try" link add v0 type veth peer name v1 &&
        ip -n "$hosts_id-try" link add bridge type bridge &&
        ip netns exec "$hosts_id-try" nft add table inet faults; } 2>/dev/null; then
        why="this kernel has no veth, bridge or nftables"
    fi
    ip netns del "$hosts_id-try" 2>/dev/null
    [ -z "$why" ] && return 0
    echo "skip hosts on a network: $why"
    exit 0
}

# hosts_begin N: host 1 to N, with the addresses 10.77.0.1 to 10.77.0.N.  They are gone when the script ends.
hosts_begin() {
    local i name old
    # Those of a script that was killed before it could take them away.
    for old in $(ip netns list | sed -nE 's/^(sb([0-9]+)-[a-z0-9]+).*/\2:\1/p'); do
        [ -e "/proc/${old%%:*}" ] || hosts_remove "${old#*:}"
    done
    trap 'hosts_end; rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    hosts_count=$1
    ip netns add "$hosts_id-net"
    ip -n "$hosts_id-net" link add bridge type bridge
    ip -n "$hosts_id-net" link set bridge up
    for ((i = 1; i <= hosts_count; i++)); do
        name=$hosts_id-$i
        ip netns add "$name"
        ip -n "$hosts_id-net" link add "v$i" type veth peer name eth0 netns "$name"
        ip -n "$hosts_id-net" link set "v$i" master bridge up
        ip -n "$name" link set lo up
        ip -n "$name" link set eth0 up
        ip -n "$name" address add "10.77.0.$i/24" dev eth0
        ip netns exec "$name" nft "add table inet faults;
            add chain inet faults in { type filter hook input priority 0; };"
    done
}

# hosts_remove NAMESPACE: with whatever still runs in it.
hosts_remove() {
    local pids
    pids=$(ip netns pids "$1" 2>/dev/null)
    # shellcheck disable=SC2086 # one word each
    [ -z "$pids" ] || kill -9 $pids 2>/dev/null
    ip netns del "$1" 2>/dev/null
}

hosts_end() {
    local i
    for ((i = 1; i <= hosts_count; i++)); do hosts_remove "$hosts_id-$i"; done
    [ "$hosts_count" = 0 ] || hosts_remove "$hosts_id-net"
    hosts_count=0
}

# on HOST COMMAND...: becomes it, so that the process of "on 2 sleep 9 &" is the command's.
on() {
    local host=$1
    shift
    # shellcheck disable=SC2016 # for the shell inside
    exec ip netns exec "$hosts_id-$host" unshare --uts sh -c 'hostname "$0"; exec "$@"' "host$host" "$@"
}

# alive: how many processes of ours run on the hosts.
alive() {
    local i count=0
    for ((i = 1; i <= hosts_count; i++)); do
        count=$((count + $(ip netns pids "$hosts_id-$i" | wc -l)))
    done
    echo "$count"
}

# part A B: nothing goes between the two.  part_way A B: nothing from A to B, but all from B to A.
part() { part_way "$1" "$2" && part_way "$2" "$1"; }
part_way() { ip netns exec "$hosts_id-$2" nft add rule inet faults in ip saddr "10.77.0.$1" drop; }

# loss PERCENT: of all packets.
loss() {
    local i
    for ((i = 1; i <= hosts_count; i++)); do
        ip netns exec "$hosts_id-$i" nft add rule inet faults in iif eth0 numgen random mod 1000 \< "$(($1 * 10))" drop
    done
}

# rate MBIT: of what each host sends, with a queue as of a cheap router.
rate() {
    local i
    hosts_slow=true
    for ((i = 1; i <= hosts_count; i++)); do
        ip netns exec "$hosts_id-$i" tc qdisc add dev eth0 root tbf rate "${1}mbit" burst 32kbit latency 400ms
    done
}

# delay MS JITTER: of what each host receives; packets overtake each other where JITTER is not 0.
delay() {
    local i
    hosts_slow=true
    for ((i = 1; i <= hosts_count; i++)); do
        ip netns exec "$hosts_id-$i" "$work/delay" 5 "$1" "$2" "$i" >/dev/null 2>&1 &
        hosts_delays+=($!)
        ip netns exec "$hosts_id-$i" iptables -A INPUT -i eth0 -j NFQUEUE --queue-num 5 --queue-bypass
    done
}

# can_delay: builds the program that does so; false, with the reason in why, where this cannot be.
can_delay() {
    why=
    command -v iptables >/dev/null || why="no iptables"
    cc -O2 -o "$work/delay" tests/support/delay.c -lnetfilter_queue 2>/dev/null ||
        why="no compiler or libnetfilter-queue-dev"
    [ -n "$why" ] || ip netns exec "$hosts_id-1" iptables -A OUTPUT -o lo -p sctp -j NFQUEUE --queue-num 6 2>/dev/null ||
        why="no NFQUEUE in this kernel"
    [ -z "$why" ]
}

# heal: all is well again, but for a host that has vanished.
heal() {
    local i
    for ((i = 1; i <= hosts_count; i++)); do ip netns exec "$hosts_id-$i" nft flush chain inet faults in; done
    "$hosts_slow" || return 0
    hosts_slow=false
    for ((i = 1; i <= hosts_count; i++)); do
        ip netns exec "$hosts_id-$i" tc qdisc del dev eth0 root 2>/dev/null
        ip netns exec "$hosts_id-$i" iptables -F INPUT 2>/dev/null
    done
    if [ ${#hosts_delays[@]} -gt 0 ]; then
        kill "${hosts_delays[@]}" 2>/dev/null
        wait "${hosts_delays[@]}" 2>/dev/null # they run on the hosts, too
    fi
    hosts_delays=()
}

# vanish HOST: its cable is pulled.  come_back HOST: and put back.
vanish() { ip -n "$hosts_id-net" link set "v$1" down; }
come_back() { ip -n "$hosts_id-net" link set "v$1" up; }
