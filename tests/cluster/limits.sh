#!/usr/bin/env bash
# When files, descriptors or the disk run out: a checkpoint that cannot be written costs only itself.
# shellcheck source=tests/support/cluster.sh
source "$(dirname "$0")/../support/cluster.sh"
need_shared
small_data
set +e

small_job job classify "$work/whole" "save_steps: 4"
run whole "$build/shardbert" train "$work/job.yaml" --set threads=1

# goes_on NAME KIB_OF_A_FILE FOLDER [ARGUMENTS...]: the state file of a checkpoint is some 24 MB, the model 8 MB.
goes_on() {
    local name=$1 kib=$2 out=$3
    shift 3
    run limited bash -c "ulimit -f $kib; exec \"\$0\" \"\$@\"" "$build/shardbert" train "$work/job.yaml" --set threads=1 \
        --set "output_dir=$out" "$@"
    is "$name: the run ends well" $? 0
    # The one in the middle may be left out, while the first is written.
    check "$name: the first checkpoint says why it failed" grep -q 'checkpoint of step 4 failed.*training goes on' "$work/limited.log"
    check "$name: and the last" grep -q 'checkpoint of step 12 failed.*training goes on' "$work/limited.log"
    check "$name: same bits" same_weights "$work/whole" "$out"
    is "$name: nothing half-written is left" "$(find "$out" -name 'state-*')" ""
}

goes_on "a limit on files" 9000 "$work/limited"
goes_on "a limit on files, processes" 9000 "$work/limited-2" --servers 2 --workers 2
mkdir "$work/disk"
if mount -t tmpfs -o size=20m tmpfs "$work/disk" 2>/dev/null; then
    goes_on "a full disk" unlimited "$work/disk/out"
    umount "$work/disk"
else
    echo "skip a full disk: mounting one takes root"
fi
exits "too few descriptors are an I/O error" 74 "Too many open files" bash -c "ulimit -n 12; exec \"\$0\" \"\$@\"" \
    "$build/shardbert" train "$work/job.yaml" --set "output_dir=$work/few" --servers 1 --workers 1
exits "a soft limit that is too low is raised" 0 "" bash -c "ulimit -Sn 12; exec \"\$0\" \"\$@\"" \
    "$build/shardbert" train "$work/job.yaml" --set threads=1 --set max_steps=2 --set "output_dir=$work/soft" --servers 1 --workers 1
