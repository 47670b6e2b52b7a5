#!/usr/bin/env bash
# A real SLURM on this host, for tests: munge, slurmctld and one slurmd per made-up node, a GPU that is no GPU among
# them. Debian packages; run as root.
#   cluster.sh install        packages; fails where they cannot be had
#   cluster.sh hold FOLDER    up, says "up", and down again when its standard input ends, whatever ended it
set -euo pipefail
folder=${2:-}
host=$(hostname -s)

install() {
  local wanted=(munge slurmctld slurmd slurm-client)
  dpkg -s "${wanted[@]}" >/dev/null 2>&1 && return
  export DEBIAN_FRONTEND=noninteractive
  # A mirror that does not answer is given up soon: the tests are skipped then.
  local patience=(-o Acquire::Retries=0 -o Acquire::http::Timeout=20)
  apt-get update -qq "${patience[@]}" &&
    apt-get install -y -qq --no-install-recommends "${patience[@]}" "${wanted[@]}" >/dev/null
}

hold() {
  # One cluster at a time: its ports and /etc/slurm are the host's.
  mkdir -p /run/lock && exec 9>/run/lock/tissuemake-test-slurm && flock 9
  trap '' INT
  trap down EXIT
  up >&2 9>&-
  echo up
  cat >/dev/null
}

up() {
  mkdir -p "$folder"/{state,log,runs,spool.cpu1,spool.gpu1} /etc/slurm
  cat > "$folder/slurm.conf" <<CONF
ClusterName=tissuemake-tests
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=100000
ReturnToService=2
SlurmctldPort=16817
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
SlurmdParameters=config_overrides
KillWait=2
MinJobAge=3600
OverTimeLimit=0
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
GresTypes=gpu
DefMemPerCPU=500
NodeName=cpu1 NodeHostname=$host NodeAddr=127.0.0.1 Port=16818 CPUs=8 RealMemory=40000 State=UNKNOWN
NodeName=gpu1 NodeHostname=$host NodeAddr=127.0.0.1 Port=16819 CPUs=8 RealMemory=40000 Gres=gpu:a100:5 State=UNKNOWN
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=2880 DefaultTime=10 State=UP
PartitionName=gpu Nodes=gpu1 Default=NO MaxTime=2880 DefaultTime=10 State=UP
CONF
  echo AutoDetect=off > "$folder/gres.conf"
  for file in null zero full random urandom; do
    echo "NodeName=gpu1 Name=gpu Type=a100 File=/dev/$file" >> "$folder/gres.conf"
  done
  # The built-in place: the plugin's job step drops every SLURM_* variable, SLURM_CONF among them.
  ln -sfn "$folder/slurm.conf" /etc/slurm/slurm.conf
  ln -sfn "$folder/gres.conf" /etc/slurm/gres.conf
  command install -d -o munge -g munge -m 0755 /run/munge
  munge -n </dev/null 2>/dev/null | unmunge >/dev/null 2>&1 || {
    runuser -u munge -- /usr/sbin/munged
    touch "$folder/munged"
  }
  slurmctld
  slurmd -N cpu1
  slurmd -N gpu1
  for _ in $(seq 300); do
    [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)" = 2 ] && return
    sleep .1
  done
  echo "No two idle nodes:" >&2
  sinfo -N >&2
  exit 1
}

# What was started goes: runs of Snakemake (each leads a session), their jobs, the daemons.
down() {
  set +e
  for run in "$folder"/runs/*; do [ -e "$run" ] && kill -9 -- "-${run##*/}" 2>/dev/null; done
  scancel --user root 2>/dev/null
  for _ in $(seq 100); do
    [ -z "$(squeue --noheader 2>/dev/null)" ] && break
    sleep .1
  done
  for pid in "$folder"/slurmd.*.pid "$folder"/slurmctld.pid; do end "$pid"; done
  # Only the one that was started for these tests.
  [ -e "$folder/munged" ] && end /run/munge/munged.pid
  [ "$(readlink /etc/slurm/slurm.conf)" = "$folder/slurm.conf" ] && rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
  return 0
}

end() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] || return 0
  kill "$pid" 2>/dev/null
  for _ in $(seq 50); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep .1
  done
  kill -9 "$pid" 2>/dev/null
}

"$1"
