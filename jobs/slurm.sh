#!/bin/bash
# One olica_mpi job under Slurm:
#   sbatch jobs/slurm.sh
#   sbatch --nodes=4 --export=ALL,CONFIG=/data/me/llama.ini,SPARSITY=0.33 jobs/slurm.sh
# Edit the settings between the two rulers. A job that reaches its time limit is requeued and resumes where it
# stopped; otherwise it ends with the program's own exit code (doc/user-guide.md lists them).

# ---- edit: what to ask for ------------------------------------------------------------------------------------
#SBATCH --job-name=olica
#SBATCH --nodes=2
# Ranks of a node. `olica_mpi --check` below prints the memory of a rank and of a node before the job begins: if
# it is too large, use fewer ranks with more threads each.
#SBATCH --ntasks-per-node=16
# Threads of a rank.
#SBATCH --cpus-per-task=4
# No two ranks on one core.
#SBATCH --hint=nomultithread
#SBATCH --exclusive
#SBATCH --time=04:00:00
# This many seconds before the end Slurm signals this script (B:), which makes the program finish its layer, write
# its restart file and stop. Allow the time of two layers and of writing.
#SBATCH --signal=B:USR1@300
# A requeued job appends to the same log.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=olica-%j.log
##SBATCH --account=...
##SBATCH --partition=...

# Your site's modules, for the program and for the MPI it was built with:
# module purge
# module load openmpi olica_mpi

# Paths are relative to where sbatch was called. What is empty stays as the config file has it.
OLICA=${OLICA:-olica_mpi}            # the program: a name on the PATH or a full path
CONFIG=${CONFIG:-config.ini}
SPARSITY=${SPARSITY:-}               # share of all parameters to remove
OUT=${OUT:-}                         # a directory: it gets the checkpoint pruned.h5 and report.json
STATISTICS=${STATISTICS:-}           # a file that keeps the calibration's statistics for other sparsities; none: no file
RESTARTS=${RESTARTS:-20}             # most times the job is requeued

# MPI-IO. Open MPI has two implementations; where writing fails or hangs with the default one (OMPIO), try the other.
# export OMPI_MCA_io=romio321
# Hints for it belong into the config file's section [io].

# Lustre: striping belongs on the directory, before the file is made. As many stripes as the file system has targets
# helps files of many GiB; small ones need 1.
STRIPES=${STRIPES:-}                 # of OUT, e.g. 8; empty: the directory's own
# ---- end of what to edit --------------------------------------------------------------------------------------

set -u
nodes=${SLURM_JOB_NUM_NODES:-1}
per_node=${SLURM_NTASKS_PER_NODE:-1}
threads=${SLURM_CPUS_PER_TASK:-1}
ranks=${SLURM_NTASKS:-$((nodes * per_node))}

say() { echo "$(date '+%F %T') job ${SLURM_JOB_ID:-}: $*"; }
absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }

# In an array (slurm-array.sh) every task has a sparsity and a directory of its own.
if [ -n "${SPARSITIES:-}" ]; then
  read -r -a each <<<"$SPARSITIES"
  SPARSITY=${each[$SLURM_ARRAY_TASK_ID]}
  OUT=$OUTS/olica-$SPARSITY
fi

# In compare.sh every task of the array has a pair of method and sparsity; the last job has all of them.
pair=
if [ -n "${PAIRS:-}" ]; then OUT=$OUTS; fi
if [ "${PAIRS:-all}" != all ]; then
  read -r -a each <<<"$PAIRS"
  pair=.${each[$SLURM_ARRAY_TASK_ID]}
  SPARSITY=${pair#.*.}
  METHODS=${pair%".$SPARSITY"}
  METHODS=${METHODS#.}
fi

if [ ! -r "$CONFIG" ]; then
  say "no config file $CONFIG in $PWD; CONFIG=FILE names it"
  exit 2
fi

# Override only those settings of the config file that were given.
settings=()
if [ -n "${METHODS:-}" ]; then settings+=(--set "prune.method=$METHODS"); fi
if [ -n "$SPARSITY" ]; then settings+=(--set "prune.sparsity=$SPARSITY"); fi
if [ -n "$OUT" ]; then
  OUT=$(absolute "$OUT")
  mkdir -p "$OUT" || exit 4
  settings+=(--set "output.checkpoint=$OUT/pruned$pair.h5" --set "output.report=$OUT/report$pair.json")
fi
if [ "$STATISTICS" = none ]; then
  settings+=(--set calibration.save=)
elif [ -n "$STATISTICS" ]; then
  settings+=(--set "calibration.save=$(absolute "$STATISTICS")")
fi
if [ -n "$STRIPES" ] && [ -z "$OUT" ]; then
  say "STRIPES=$STRIPES wants OUT=DIRECTORY: the files of a directory are striped"
  exit 2
elif [ -n "$STRIPES" ] && command -v lfs >/dev/null; then
  lfs setstripe --stripe-count "$STRIPES" "$OUT"
fi

# The job's end, for `[run] walltime = auto`: older versions of Slurm do not set it in the environment.
if [ -z "${SLURM_JOB_END_TIME:-}" ]; then
  end=$(squeue --noheader --job="$SLURM_JOB_ID" --format=%e) # "NONE" or nothing where there is no end
  end=$(date -d "${end:-NONE}" +%s 2>/dev/null) && export SLURM_JOB_END_TIME="$end"
fi

# A rank's threads, for `[compute] threads = auto`; PE= gives every rank as many cores. Waiting threads should sleep:
# where ranks and threads share busy cores, spinning takes the core from a thread that has work.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$threads} OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
if [ "$OMP_NUM_THREADS" != "$threads" ]; then
  say "OMP_NUM_THREADS=$OMP_NUM_THREADS, as in the environment, though a rank has --cpus-per-task=$threads"
fi

# Slurm signals this shell. mpirun forwards SIGUSR1 to all ranks; on SIGTERM it would end with code 1.
signalled=
pid=
# shellcheck disable=SC2317 # the traps call it
stop() {
  say "signalled: $1"
  signalled=$1
  interrupted=yes
  if [ -n "$pid" ]; then kill -USR1 "$pid"; fi
}
trap 'stop USR1' USR1
trap 'stop TERM' TERM

# Check the plan first: a wrong path or setting fails here, on one rank, in seconds.
mpirun -n 1 "$OLICA" ${settings[@]+"${settings[@]}"} --check --ranks "$ranks" --ranks-per-node "$per_node" "$CONFIG" || exit

say "starts; has been queued again ${SLURM_RESTART_COUNT:-0} times"
code=75
if [ -z "$signalled" ]; then
  mpirun -n "$ranks" --map-by "ppr:$per_node:node:PE=$threads" --bind-to core -x OMP_NUM_THREADS -x OMP_WAIT_POLICY \
    "$OLICA" ${settings[@]+"${settings[@]}"} "$CONFIG" &
  pid=$!
  # A signal interrupts `wait`, not mpirun: then wait again.
  interrupted=yes
  while [ $interrupted = yes ]; do
    interrupted=no
    wait "$pid"
    code=$?
  done
fi
trap - USR1 TERM
say "exit $code"

# 75: stopped early, the restart file is valid. After SIGTERM Slurm decides: it has preempted the job and requeues it
# itself, or somebody has cancelled it.
if [ "$code" = 75 ] && [ "$signalled" != TERM ]; then
  if [ "${SLURM_RESTART_COUNT:-0}" -lt "$RESTARTS" ]; then
    say "requeued"
    scontrol requeue "$SLURM_JOB_ID"
  else
    say "has been queued again $RESTARTS times, that is enough: submit it once more to go on"
  fi
fi
exit "$code"
