#!/usr/bin/env bash
# Runs the smoke pipeline twice, with `dvc repro` and through a SLURM of one node that this script
# starts and ends, and compares what they wrote. Needs root, Debian or Ubuntu, and about 5 minutes.
#
# Packages: slurm-wlm and munge, installed if they are missing. The configuration has to be in the
# default folder: the executor takes SLURM_CONF out of the environment of its jobs.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
pids=()

fail() {
    echo "test-slurm: $*" >&2
    exit 1
}

finish() {
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    # Left behind, it would make every later snakemake wait for a controller that is gone.
    if grep -qs "ClusterName=mixframe-test" /etc/slurm/slurm.conf; then
        rm /etc/slurm/slurm.conf
    fi
}
trap finish EXIT

[ "$(id -u)" = 0 ] || fail "needs root to start slurmctld and slurmd"
if ! command -v slurmctld slurmd munged >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge >/dev/null
fi
if [ -e /etc/slurm/slurm.conf ] && ! grep -q "ClusterName=mixframe-test" /etc/slurm/slurm.conf; then
    fail "/etc/slurm/slurm.conf belongs to another cluster; not touching it"
fi
pgrep -x slurmctld >/dev/null && fail "slurmctld is running already"

host=$(hostname -s)
mkdir -p /etc/slurm /run/munge /var/log/munge /var/lib/munge "$work/spool" "$work/state"
cat >/etc/slurm/slurm.conf <<CONF
ClusterName=mixframe-test
SlurmctldHost=$host(127.0.0.1)
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmdSpoolDir=$work/spool
StateSaveLocation=$work/state
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 - 512)) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF

chown -R munge: /etc/munge /run/munge /var/log/munge /var/lib/munge
[ -s /etc/munge/munge.key ] || setpriv --reuid=munge --regid=munge --clear-groups mungekey --create
if ! munge -n >/dev/null 2>&1; then
    setpriv --reuid=munge --regid=munge --clear-groups munged --foreground &>"$work/munged.out" &
    pids+=($!)
fi
for _ in $(seq 50); do
    munge -n >/dev/null 2>&1 && break
    sleep 0.1
done
slurmctld -D &>"$work/slurmctld.out" &
pids+=($!)
slurmd -D &>"$work/slurmd.out" &
pids+=($!)
for _ in $(seq 100); do
    [ "$(sinfo -h -o %T 2>/dev/null)" = idle ] && break
    sleep 0.2
done
[ "$(sinfo -h -o %T)" = idle ] || fail "the node did not come up: see $work"
sinfo

copy() {
    mkdir "$1"
    git -C "$root" ls-files -co --exclude-standard -z | (cd "$root" && xargs -0 cp --parents -t "$1")
    cd "$1"
    git init -q
    rm -rf results dvc.lock
    if [ -d "$root/data/demo" ]; then
        mkdir data
        cp -r "$root/data/demo" data/demo
    fi
    mixframe use smoke
}

copy "$work/dvc"
dvc repro >"$work/dvc.log" 2>&1 || fail "dvc repro failed: see $work/dvc.log"
copy "$work/slurm"
snakemake --workflow-profile workflow/profiles/slurm \
    --slurm-status-command squeue --slurm-no-account \
    --slurm-init-seconds-before-status-checks 2 --seconds-between-status-checks 2 \
    --latency-wait 5 --max-threads "$(nproc)" \
    --set-resources pretrain:gpu=0 posttrain:gpu=0 finetune_foundation:gpu=0 \
    finetune_posttrained:gpu=0 finetune_borrowing:gpu=0 score:gpu=0 vote:gpu=0 embed:gpu=0 \
    --default-resources mem_mb=3000 runtime=20 \
    2>&1 | tee "$work/snakemake.log"

jobs=$(grep -c "submitted with SLURM jobid" "$work/snakemake.log")
launched=$(grep -c "Launching batch job" "$work/slurmd.log")
echo "test-slurm: $jobs jobs submitted, $launched batch jobs launched by slurmd"
[ "$launched" -ge "$jobs" ] && [ "$jobs" -gt 0 ] || fail "slurmd did not run the jobs: see $work/slurmd.log"
cmp "$work/dvc/dvc.lock" dvc.lock
for folder in metrics scores details det; do
    diff -r "$work/dvc/results/smoke/$folder" "results/smoke/$folder"
done
dvc status
echo "test-slurm: same metrics, scores and dvc.lock as dvc repro"
