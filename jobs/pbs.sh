#!/bin/bash
# One olica_mpi job under PBS Professional or OpenPBS:
#   qsub jobs/pbs.sh
#   qsub -v CONFIG=/data/me/llama.ini,SPARSITY=0.33 jobs/pbs.sh
# Edit what stands between the two rulers. PBS gives no warning before the time is up, so the program is told how long
# it has: it stops in time with a valid restart file, and the script submits itself once more to go on. Otherwise the
# job ends with the program's own exit code (README.md lists them).

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

MINUTES=${MINUTES:-235}              # of the walltime above, for the program; the rest is for starting and queueing again
JOB=${JOB:-jobs/pbs.sh}              # this file, relative to where qsub was called, to submit it once more
OLICA=${OLICA:-olica_mpi}            # the program: a name on the PATH or a full path
CONFIG=${CONFIG:-config.ini}         # relative to where qsub was called
SPARSITY=${SPARSITY:-0.2}            # share of all parameters to remove
OUT=${OUT:-$PBS_O_WORKDIR/olica-$SPARSITY}  # directory of the checkpoint and the report; a full path
STATISTICS=${STATISTICS:-}           # a file that keeps the calibration's statistics for other sparsities; a full path
RESTARTS=${RESTARTS:-20}             # how often the job is submitted again before it gives up

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

mkdir -p "$OUT" || exit 4
settings=(--set "prune.sparsity=$SPARSITY" --set "compute.threads=$threads"
  --set "output.checkpoint=$OUT/pruned.h5" --set "output.report=$OUT/report.json"
  --set "run.walltime=$(printf '%02d:%02d:00' $((MINUTES / 60)) $((MINUTES % 60)))")
if [ -n "$STATISTICS" ]; then settings+=(--set "calibration.save=$STATISTICS"); fi

# The plan first: a wrong path or setting shows here, on one rank, in seconds.
mpirun -n 1 "$OLICA" "${settings[@]}" --check --ranks "$ranks" --ranks-per-node "$per_node" "$CONFIG" || exit

say "starts; has been submitted again $RESTARTED times"
mpirun -n "$ranks" --hostfile "$PBS_NODEFILE" --map-by "ppr:$per_node:node:PE=$threads" --bind-to core \
  "$OLICA" "${settings[@]}" "$CONFIG"
code=$?
say "exit $code"

# 75: stopped early, the restart file is valid.
if [ "$code" = 75 ]; then
  if [ "$RESTARTED" -lt "$RESTARTS" ]; then
    RESTARTED=$((RESTARTED + 1))
    export RESTARTED MINUTES JOB OLICA CONFIG SPARSITY OUT STATISTICS RESTARTS
    say "submitted again: $(qsub -v RESTARTED,MINUTES,JOB,OLICA,CONFIG,SPARSITY,OUT,STATISTICS,RESTARTS "$JOB")"
  else
    say "has been submitted again $RESTARTS times, that is enough: submit it once more to go on"
  fi
fi
exit "$code"
