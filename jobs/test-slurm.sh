#!/bin/bash
# test-slurm.sh [OLICA_MPI]: the jobs of this directory under a real Slurm, with four nodes that are all this machine.
#
#   1. slurm.sh is submitted, signalled before its time is up, exits with 75, is requeued, resumes and completes;
#      the checkpoint equals that of an uninterrupted run, byte for byte.
#   2. slurm-array.sh: two sparsities from one calibration; the second job waits until the first, which is interrupted by
#      hand, has completed.
#
# Slurm's and MUNGE's daemons run as the caller, from a temporary directory, on ports of their own, and end with the
# test. Needs Debian's slurm-wlm and munge (`make check-slurm` installs them). Prints what happens as it happens, and
# "N passed, M failed" last.
cd "$(dirname "$0")/.." || exit 70
OLICA=$(realpath "${1:-build/olica_mpi}")
export OLICA
. jobs/test-common.sh
export SLURM_CONF=$work/slurm.conf # from here on all of Slurm's commands speak to our own
daemons=()

# shellcheck disable=SC2317 # the trap calls it
tear_down() {
  if [ ${#daemons[@]} -gt 0 ]; then
    scancel --user="$(id -un)" 2>/dev/null
    wait_for 30 no_jobs
    kill "${daemons[@]}" 2>/dev/null
    wait "${daemons[@]}" 2>/dev/null
  fi
  rm -rf "$work"
}
trap tear_down EXIT
trap 'exit 1' INT TERM

# ---- the cluster ----------------------------------------------------------------------------------------------

# The first of `count` ports in a row on which nobody listens.
free_ports() {
  local first port
  for first in $(shuf -i 20000-30000 -n 50); do
    for ((port = first; port < first + $1; port++)); do
      (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null && continue 2
    done
    echo "$first"
    return
  done
  return 1
}

start() { # start NAME COMMAND...: a daemon in the foreground of nobody, with a log
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 &
  daemons+=($!)
}

# A job that is queued again waits for as long as credentials live (cred_expire, in seconds).
write_configuration() {
  local port
  port=$(free_ports 5) || give_up "no free ports"
  cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket,cred_expire=15
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool.%n
TmpFS=$work/tmp.%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.%n.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=2
KillWait=5
OverTimeLimit=3
NodeName=n[1-4] NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 4))] CPUs=2 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=10 State=UP
END
}

start_cluster() {
  chmod 711 "$work"
  mkdir "$work/state" "$work"/{spool,tmp}.n{1,2,3,4}
  write_configuration
  (umask 077 && head -c 1024 /dev/urandom >"$work/munge.key")
  start munged munged --foreground --key-file="$work/munge.key" --socket="$work/munge.socket" \
    --pid-file="$work/munged.pid" --log-file="$work/munged.log" --seed-file="$work/munge.seed"
  wait_for 30 test -S "$work/munge.socket" || give_up "munged does not start"
  start slurmctld slurmctld -D
  for node in n1 n2 n3 n4; do start "slurmd.$node" slurmd -D -N $node; done
  wait_for 60 all_idle || give_up "the nodes do not become idle"
  say "$(slurmd -V) is up, 4 nodes"
}

no_jobs() { [ -z "$(squeue --noheader 2>/dev/null)" ]; }
all_idle() { [ "$(sinfo --noheader --Node --states=idle 2>/dev/null | wc -l)" = 4 ]; }

# ---- the jobs -------------------------------------------------------------------------------------------------

# Nodes that are one machine: messages go by TCP, ranks share cores.
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1

shape=(--nodes=2 --ntasks-per-node=2 --cpus-per-task=1)

# show JOB FIELD: of what `scontrol show job` tells
show() { scontrol show job "$1" 2>/dev/null | tr ' ' '\n' | sed -n "s/^$2=//p" | head -n 1; }
in_state() { [ "$(show "$1" JobState)" = "$2" ]; }

# Shows what a job's script says, as it comes.
follow() { tail --lines=+1 --pid=$$ --follow=name --retry "$1" 2>/dev/null | grep --line-buffered ' job [0-9]*: ' & }

# How long a short run takes says how many windows make one that is still running when Slurm's signal comes: Slurm looks
# every 30 seconds for jobs that are to be signalled before it looks again.
reference() {
  local began=$SECONDS took
  write_config "$work/short.ini" 400
  mpirun --oversubscribe --bind-to none -n 4 "$OLICA" --quiet --set "output.checkpoint=$work/reference.h5" \
    --set output.report= "$work/short.ini" >"$work/reference.log" 2>&1 || give_up "the program does not run"
  took=$((SECONDS - began + 1))
  write_config "$work/long.ini" $((400 * 300 / took))
  say "outside of Slurm, without interruption: $took s"
}

test_single() {
  local log=$work/single.log job
  job=$(CONFIG=$work/long.ini OUT=$work/single sbatch --parsable "${shape[@]}" --time=2 --signal=B:USR1@70 \
    --output="$log" jobs/slurm.sh) || give_up "sbatch refuses slurm.sh"
  say "job $job: submitted, for two minutes"
  follow "$log"
  pass_if "Slurm has signalled it" wait_for 240 says "$log" "signalled: USR1"
  wait_for 120 says "$log" ": exit "
  pass_if "it has ended with exit code 75" says "$log" ": exit 75"
  pass_if "it has been queued again and has started" wait_for 150 says "$log" "queued again 1 times"
  # The rest may be signalled again; it has to come to its end all the same.
  pass_if "it has completed" wait_for 300 in_state "$job" COMPLETED
  pass_if "it has gone on where it was" says "$log" "going on from"
  pass_if "its checkpoint verifies" verifies "$work/single/pruned.h5"
  pass_if "which is the uninterrupted run's to the last byte" same_model "$work/reference.h5" "$work/single/pruned.h5"
}

test_array() {
  local first second log=$work/first.log
  (cd "$work" && CONFIG=$work/short.ini OUTS=$work OPTIONS="${shape[*]} --time=9 --signal=B:USR1@60" "$OLDPWD/jobs/slurm-array.sh" 0.2 0.33) >"$work/array.log" ||
    give_up "slurm-array.sh does not submit"
  cat "$work/array.log"
  first=$(sed -n '1s/job \([0-9]*\):.*/\1/p' "$work/array.log")
  second=$(sed -n '2s/job \([0-9]*\):.*/\1/p' "$work/array.log")
  log=$work/olica-${first}_0.log
  follow "$log"
  follow "$work/olica-${second}_1.log"
  wait_for 120 says "$log" "survey layer 0"
  scancel --batch --signal=USR1 "$first"
  pass_if "the first job, told by hand to stop, is queued again" wait_for 150 says "$log" "queued again 1 times"
  pass_if "the first job has completed" wait_for 300 in_state "$first" COMPLETED
  pass_if "the second job has completed" wait_for 300 in_state "$second" COMPLETED
  pass_if "there is one calibration for both" says "$work/olica-0.33/report.json" "read from .*statistics.h5"
  pass_if "it has begun when the first had ended" test ! "$(show "$second" StartTime)" '<' "$(show "$first" EndTime)"
  pass_if "the first checkpoint is the uninterrupted run's" same_model "$work/reference.h5" "$work/olica-0.2/pruned.h5"
  pass_if "the second checkpoint verifies" verifies "$work/olica-0.33/pruned.h5"
}

start_cluster
reference
test_single
test_array
echo "$passed passed, $failed failed"
[ $failed = 0 ]
