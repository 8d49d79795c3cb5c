#!/bin/bash
# One olica_mpi job under PBS Professional or OpenPBS:
#   qsub jobs/pbs.sh
#   qsub -v CONFIG=/data/me/llama.ini,SPARSITY=0.33 jobs/pbs.sh
# Edit the settings between the two rulers. PBS sends no warning before the time limit, so the script passes the limit
# to the program: it stops in time with a valid restart file, and the script submits itself again with the same settings
# to resume. Otherwise the job ends with the program's own exit code (doc/user-guide.md lists them).

# ---- edit: what to ask for ------------------------------------------------------------------------------------
#PBS -N olica
# Nodes (select), cores of a node (ncpus), ranks of a node (mpiprocs), threads of a rank (ompthreads).
#PBS -l select=2:ncpus=64:mpiprocs=16:ompthreads=4
#PBS -l place=scatter:excl
#PBS -l walltime=04:00:00
#PBS -j oe
##PBS -A ...
##PBS -q ...

# Your site's modules, for the program and for the MPI it was built with:
# module purge
# module load openmpi olica_mpi

# Paths are relative to where qsub was called. An empty value keeps the config file's setting.
OLICA=${OLICA:-olica_mpi}            # the program: a name on the PATH or a full path
CONFIG=${CONFIG:-config.ini}
SPARSITY=${SPARSITY:-}               # share of all parameters to remove
OUT=${OUT:-}                         # a directory: it gets the checkpoint pruned.h5 and report.json
STATISTICS=${STATISTICS:-}           # a file that keeps the calibration's statistics for other sparsities; none: no file
MINUTES=${MINUTES:-}                 # for the program; empty: the walltime from PBS, less 5 minutes for starting and resubmitting
JOB=${JOB:-jobs/pbs.sh}              # this file, to resubmit it; if it does not exist, PBS's own copy is used
RESTARTS=${RESTARTS:-20}             # most times the job is resubmitted
QSUB_OPTIONS=${QSUB_OPTIONS:-}       # for resubmitting: beyond queue, name, account, project, select, place and walltime of this job

# MPI-IO: where writing fails or hangs with Open MPI's default implementation, try the other.
# export OMPI_MCA_io=romio321
# ---- end of what to edit --------------------------------------------------------------------------------------

set -u
cd "$PBS_O_WORKDIR" || exit 4
RESTARTED=${RESTARTED:-0}
ranks=$(wc -l <"$PBS_NODEFILE")
nodes=$(sort -u "$PBS_NODEFILE" | wc -l)
per_node=$((ranks / nodes))
threads=${OMP_NUM_THREADS:-1}

say() { echo "$(date '+%F %T') job $PBS_JOBID: $*"; }
absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }

# told NAME: prints an attribute of this job from PBS; a long line continues after a tab.
job=$(qstat -f "$PBS_JOBID" 2>/dev/null | sed -e ':a' -e 'N' -e '$!ba' -e 's/\n\t//g')
told() { sed -n "s/^ *$1 = //p" <<<"$job" | head -n 1; }

if [ ! -r "$CONFIG" ]; then
  say "no config file $CONFIG in $PWD; CONFIG=FILE names it"
  exit 2
fi

# Override only those settings of the config file that were given.
settings=()
if [ -n "$SPARSITY" ]; then settings+=(--set "prune.sparsity=$SPARSITY"); fi
if [ -n "$OUT" ]; then
  OUT=$(absolute "$OUT")
  mkdir -p "$OUT" || exit 4
  settings+=(--set "output.checkpoint=$OUT/pruned.h5" --set "output.report=$OUT/report.json")
fi
if [ "$STATISTICS" = none ]; then
  settings+=(--set calibration.save=)
elif [ -n "$STATISTICS" ]; then
  settings+=(--set "calibration.save=$(absolute "$STATISTICS")")
fi

# When to stop, for `[run] walltime = auto`: the program reads this variable under any batch system. MINUTES overrides it.
IFS=: read -r hours minutes seconds <<<"$(told 'Resource_List\.walltime')"
if [ -n "$MINUTES" ]; then
  settings+=(--set "run.walltime=$(printf '%02d:%02d:00' $((MINUTES / 60)) $((MINUTES % 60)))")
elif [ -n "$seconds" ]; then
  seconds=$((10#$hours * 3600 + 10#$minutes * 60 + 10#$seconds))
  SLURM_JOB_END_TIME=$(($(date +%s) + seconds - (seconds > 3000 ? 300 : seconds / 10)))
  export SLURM_JOB_END_TIME
else
  say "qstat tells no walltime: without MINUTES the program stops only when the config file says so"
fi

# A rank's threads, for `[compute] threads = auto`, from PBS (ompthreads); PE= gives every rank as many cores. Waiting
# threads should sleep: where ranks and threads share busy cores, spinning takes the core from a thread that has work.
export OMP_NUM_THREADS=$threads OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

# Check the plan first: a wrong path or setting fails here, on one rank, in seconds.
mpirun -n 1 "$OLICA" ${settings[@]+"${settings[@]}"} --check --ranks "$ranks" --ranks-per-node "$per_node" "$CONFIG" || exit

say "starts; has been submitted again $RESTARTED times"
mpirun -n "$ranks" --hostfile "$PBS_NODEFILE" --map-by "ppr:$per_node:node:PE=$threads" --bind-to core \
  -x OMP_NUM_THREADS -x OMP_WAIT_POLICY "$OLICA" ${settings[@]+"${settings[@]}"} "$CONFIG"
code=$?
say "exit $code"

# Submits the job with its original options, also those of qsub's command line, and the libraries' environment variables.
submit_again() {
  local options=() value pair names
  for pair in N:Job_Name A:Account_Name P:project; do
    value=$(told "${pair#*:}")
    if [ -n "$value" ] && [ "$value" != _pbs_project_default ]; then options+=("-${pair%%:*}" "$value"); fi
  done
  for pair in select place walltime; do
    value=$(told "Resource_List\.$pair")
    if [ -n "$value" ]; then options+=(-l "$pair=$value"); fi
  done
  if [ -n "${PBS_O_QUEUE:-}" ]; then options+=(-q "$PBS_O_QUEUE"); fi
  if [ ! -r "$JOB" ]; then JOB=$0; fi
  export RESTARTED MINUTES JOB OLICA CONFIG SPARSITY OUT STATISTICS RESTARTS QSUB_OPTIONS
  names=$(compgen -e | grep -E '^(OMP|OMPI_MCA|PMIX_MCA|PRTE_MCA|OPENBLAS|ONEDNN|PETSC|UCX|HDF5|OLICA)_' | tr '\n' ,)
  # shellcheck disable=SC2086 # words
  qsub ${options[@]+"${options[@]}"} $QSUB_OPTIONS \
    -v "${names}RESTARTED,MINUTES,JOB,OLICA,CONFIG,SPARSITY,OUT,STATISTICS,RESTARTS,QSUB_OPTIONS" "$JOB"
}

# 75: stopped early, the restart file is valid.
if [ "$code" = 75 ]; then
  if [ "$RESTARTED" -lt "$RESTARTS" ]; then
    RESTARTED=$((RESTARTED + 1))
    if next=$(submit_again); then say "submitted again: $next"; else say "qsub failed: submit it once more to go on"; fi
  else
    say "has been submitted again $RESTARTS times, that is enough: submit it once more to go on"
  fi
fi
exit "$code"
