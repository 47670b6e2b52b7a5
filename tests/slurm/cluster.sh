#!/usr/bin/env bash
# A real SLURM on this host, for tests: munge, slurmctld and one slurmd per made-up node, a GPU that is no GPU among
# them. Debian packages; run as root.    cluster.sh up FOLDER | cluster.sh down FOLDER
set -euo pipefail
folder=$2
host=$(hostname -s)

packages() {
  local wanted=(munge slurmctld slurmd slurm-client)
  dpkg -s "${wanted[@]}" >/dev/null 2>&1 && return
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
}

up() {
  packages
  mkdir -p "$folder"/{state,log,spool.cpu1,spool.gpu1} /etc/slurm
  cat > "$folder/slurm.conf" <<CONF
ClusterName=test
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
NodeName=cpu1 NodeHostname=$host NodeAddr=127.0.0.1 Port=16818 CPUs=8 RealMemory=20000 State=UNKNOWN
NodeName=gpu1 NodeHostname=$host NodeAddr=127.0.0.1 Port=16819 CPUs=4 RealMemory=20000 Gres=gpu:a100:4 State=UNKNOWN
PartitionName=cpu Nodes=cpu1 Default=YES MaxTime=2880 DefaultTime=10 State=UP
PartitionName=gpu Nodes=gpu1 Default=NO MaxTime=2880 DefaultTime=10 State=UP
CONF
  cat > "$folder/gres.conf" <<'CONF'
AutoDetect=off
NodeName=gpu1 Name=gpu Type=a100 File=/dev/null
NodeName=gpu1 Name=gpu Type=a100 File=/dev/zero
NodeName=gpu1 Name=gpu Type=a100 File=/dev/full
NodeName=gpu1 Name=gpu Type=a100 File=/dev/random
CONF
  # The built-in place: the plugin's job step drops every SLURM_* variable, SLURM_CONF among them.
  ln -sfn "$folder/slurm.conf" /etc/slurm/slurm.conf
  ln -sfn "$folder/gres.conf" /etc/slurm/gres.conf
  install -d -o munge -g munge -m 0755 /run/munge
  munge -n </dev/null 2>/dev/null | unmunge >/dev/null 2>&1 || runuser -u munge -- /usr/sbin/munged
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

down() {
  for pid in "$folder"/slurmd.*.pid "$folder"/slurmctld.pid; do
    if [ -s "$pid" ]; then kill "$(cat "$pid")" 2>/dev/null || true; fi
  done
  [ "$(readlink /etc/slurm/slurm.conf)" != "$folder/slurm.conf" ] || rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
}

"$1"
