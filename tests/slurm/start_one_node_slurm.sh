#!/usr/bin/env bash
# Starts a real SLURM on this machine: one node, four fake GPUs, one partition. For tests only.
#
# Needs root and, unless SLURM is installed, apt. Everything of it lies in one folder and listens on
# ports of its own, so that a SLURM that the machine may have stays as it is. To use it:
#   export SLURM_CONF=/var/lib/normbench-slurm/slurm.conf
set -euo pipefail

home=/var/lib/normbench-slurm
export SLURM_CONF=$home/slurm.conf
gpus=4
# More than the machine may have (config_overrides allows it): tests count slots, not speed.
cpus=8

answers() { [ -s "$SLURM_CONF" ] && timeout 5 scontrol ping 2>/dev/null | grep -q "is UP"; }
installed() { command -v "$1" >/dev/null; }
idle() { [ "$(timeout 5 sinfo --noheader --format %t 2>/dev/null)" = idle ]; }

if answers; then
    echo "SLURM runs already: export SLURM_CONF=$SLURM_CONF"
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "$0 must run as root: it starts slurmd and makes device nodes." >&2
    exit 1
fi
if ! installed slurmctld || ! installed slurmd || ! installed sbatch || ! installed munged; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        slurmctld slurmd slurm-client munge >/dev/null
fi

"$(dirname "$0")/stop_one_node_slurm.sh"
mkdir -p "$home"/{state,spool,log,munge,gpus}
chmod 755 "$home" "$home/munge"
for number in $(seq 0 $((gpus - 1))); do
    # A plain file is refused as a GPU; a second null device is not.
    mknod "$home/gpus/nvidia$number" c 1 3
done

host=$(hostname -s)
cat > "$home/gres.conf" <<CONF
NodeName=$host Name=gpu File=$home/gpus/nvidia[0-$((gpus - 1))]
CONF
# cred_expire is also how long a requeued job waits before it starts again: 120 s, or 5 at least.
cat > "$SLURM_CONF" <<CONF
ClusterName=normbench
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$home/munge/socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
SchedulerParameters=batch_sched_delay=0,sched_interval=1
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=15
GresTypes=gpu
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
SlurmctldLogFile=$home/log/slurmctld.log
SlurmdLogFile=$home/log/slurmd.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=4000 Gres=gpu:$gpus State=UNKNOWN
PartitionName=ci Nodes=$host Default=YES MaxTime=60 State=UP
CONF

(umask 077 && dd if=/dev/urandom of="$home/munge/key" bs=1024 count=1 status=none)
munged --key-file="$home/munge/key" --socket="$home/munge/socket" --pid-file="$home/munge/pid" \
    --log-file="$home/munge/log" --seed-file="$home/munge/seed"
slurmctld
slurmd
for _ in $(seq 150); do
    if answers && idle; then
        echo "SLURM runs: export SLURM_CONF=$SLURM_CONF"
        exit 0
    fi
    sleep 0.2
done
echo "SLURM did not start within 30 s. Its logs:" >&2
tail -n 20 "$home"/log/*.log "$home/munge/log" >&2
exit 1
