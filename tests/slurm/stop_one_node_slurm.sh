#!/usr/bin/env bash
# Stops what start_one_node_slurm.sh started, with all its jobs, and removes its folder.
set -euo pipefail

home=/var/lib/normbench-slurm
export SLURM_CONF=$home/slurm.conf

ended() { [ ! -s "$1" ] || ! kill -0 "$(cat "$1" 2>/dev/null)" 2>/dev/null; }

stop() {
    ended "$1" && return
    kill "$(cat "$1")"
    for _ in $(seq 50); do
        ended "$1" && return
        sleep 0.1
    done
    kill -KILL "$(cat "$1")" 2>/dev/null || true
}

if ! ended "$home/slurmctld.pid" && [ -n "$(timeout 5 squeue --noheader 2>/dev/null)" ]; then
    timeout 10 scancel --full --signal=KILL --partition=ci || true
    timeout 10 scancel --partition=ci || true
    for _ in $(seq 100); do
        [ -z "$(timeout 5 squeue --noheader 2>/dev/null)" ] && break
        sleep 0.2
    done
fi
stop "$home/slurmd.pid"
stop "$home/slurmctld.pid"
stop "$home/munge/pid"
rm -rf "$home"
