#!/bin/bash
# One olica_mpi job under IBM Spectrum LSF:
#   bsub < jobs/lsf.sh
#   CONFIG=/data/me/llama.ini SPARSITY=0.33 bsub < jobs/lsf.sh
# Edit the settings between the two rulers. A job that reaches its run limit is requeued by LSF and resumes where
# it stopped; otherwise it ends with the program's own exit code (doc/user-guide.md lists them).

# ---- edit: what to ask for ------------------------------------------------------------------------------------
#BSUB -J olica
# Total ranks, ranks of a node, cores of a rank (its threads).
#BSUB -n 32
#BSUB -R "span[ptile=16] affinity[core(4)]"
#BSUB -x
#BSUB -W 4:00
# This many minutes before the end LSF signals the job: the program finishes its layer, writes its restart file and stops.
#BSUB -wa USR1
#BSUB -wt 5
# A job that ends with 75 (stopped early, the restart file is valid) is requeued, at most MAX_JOB_REQUEUE times (a setting of the queue).
#BSUB -Q "75"
# Requeue also after the failure of a node.
#BSUB -r
#BSUB -o olica-%J.log
##BSUB -P ...
##BSUB -q ...

# Your site's modules, for the program and for the MPI it was built with:
# module purge
# module load openmpi olica_mpi

THREADS=${THREADS:-4}                # of a rank: the cores of `affinity` above
# Paths are relative to where bsub was called. An empty value keeps the config file's setting.
OLICA=${OLICA:-olica_mpi}            # the program: a name on the PATH or a full path
CONFIG=${CONFIG:-config.ini}
SPARSITY=${SPARSITY:-}               # share of all parameters to remove
OUT=${OUT:-}                         # a directory: it gets the checkpoint pruned.h5 and report.json
STATISTICS=${STATISTICS:-}           # a file that keeps the calibration's statistics for other sparsities; none: no file

# MPI-IO: where writing fails or hangs with Open MPI's default implementation, try the other.
# export OMPI_MCA_io=romio321
# ---- end of what to edit --------------------------------------------------------------------------------------

set -u
# "host1 16 host2 14"
read -r -a hosts <<<"$LSB_MCPU_HOSTS"
per_node=${hosts[1]}
ranks=0
for ((i = 1; i < ${#hosts[@]}; i += 2)); do ranks=$((ranks + hosts[i])); done

say() { echo "$(date '+%F %T') job $LSB_JOBID: $*"; }
absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }

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

# A rank's threads, for `[compute] threads = auto`; PE= gives every rank as many cores. Waiting threads should sleep:
# where ranks and threads share busy cores, spinning takes the core from a thread that has work.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$THREADS} OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
if [ "$OMP_NUM_THREADS" != "$THREADS" ]; then
  say "OMP_NUM_THREADS=$OMP_NUM_THREADS, as in the environment, though a rank has THREADS=$THREADS cores"
fi

# Check the plan first: a wrong path or setting fails here, on one rank, in seconds.
mpirun -n 1 "$OLICA" ${settings[@]+"${settings[@]}"} --check --ranks "$ranks" --ranks-per-node "$per_node" "$CONFIG" || exit

# LSF signals this shell, and perhaps mpirun too; a second signal does no harm. mpirun forwards SIGUSR1 to all ranks.
pid=
# shellcheck disable=SC2317 # the trap calls it
stop() {
  say "signalled: USR1"
  interrupted=yes
  kill -USR1 "$pid"
}

say "starts"
mpirun -n "$ranks" --map-by "ppr:$per_node:node:PE=$THREADS" --bind-to core -x OMP_NUM_THREADS -x OMP_WAIT_POLICY \
  "$OLICA" ${settings[@]+"${settings[@]}"} "$CONFIG" &
pid=$!
trap stop USR1

# A signal interrupts `wait`, not mpirun: then wait again.
interrupted=yes
while [ $interrupted = yes ]; do
  interrupted=no
  wait "$pid"
  code=$?
done
say "exit $code"
exit "$code"
