#!/bin/bash
# One olica_mpi job under Slurm:
#   sbatch jobs/slurm.sh
#   sbatch --nodes=4 --export=ALL,CONFIG=/data/me/llama.ini,SPARSITY=0.33 jobs/slurm.sh
# Edit what stands between the two rulers. The job ends with the program's own exit code (README.md lists them).

# ---- edit: what to ask for ------------------------------------------------------------------------------------
#SBATCH --job-name=olica
#SBATCH --nodes=2
# Ranks of a node. A rank keeps a dense and a pruned layer in fp32 for itself: if a node's memory is short, take
# fewer ranks and more threads each. `olica_mpi --check` below tells the memory of a rank before the job begins.
#SBATCH --ntasks-per-node=16
# Threads of a rank.
#SBATCH --cpus-per-task=4
# No two ranks on one core.
#SBATCH --hint=nomultithread
#SBATCH --exclusive
# This version writes no restart file: a job that is cut off has to start again. Ask for time enough.
#SBATCH --time=04:00:00
#SBATCH --output=olica-%j.log
##SBATCH --account=...
##SBATCH --partition=...

# Your site's modules, for the program and for the MPI it was built with:
# module purge
# module load gcc openmpi scalapack hdf5-parallel slepc openblas

OLICA=${OLICA:-olica_mpi}            # the program: a name on the PATH or a full path
CONFIG=${CONFIG:-config.ini}         # relative to where sbatch was called
SPARSITY=${SPARSITY:-0.2}            # share of all parameters to remove
OUT=${OUT:-$PWD/olica-$SPARSITY}     # directory of the checkpoint and the report; a full path

# MPI-IO. Open MPI has two implementations; where writing fails or hangs with the default one (OMPIO), try the other.
# export OMPI_MCA_io=romio321
# Hints for it belong into the config file's section [io].

# Lustre: striping belongs on the directory, before the file is made. As many stripes as the file system has targets
# helps files of many GiB; small ones want 1.
STRIPES=${STRIPES:-}                 # e.g. 8; empty: as the directory has it
# ---- end of what to edit --------------------------------------------------------------------------------------

set -u
nodes=${SLURM_JOB_NUM_NODES:-1}
per_node=${SLURM_NTASKS_PER_NODE:-1}
threads=${SLURM_CPUS_PER_TASK:-1}
ranks=$((nodes * per_node))

mkdir -p "$OUT" || exit 4
if [ -n "$STRIPES" ] && command -v lfs >/dev/null; then
  lfs setstripe --stripe-count "$STRIPES" "$OUT"
fi

# The threads are told to the program, and PE= gives every rank as many cores.
settings=(--set "prune.sparsity=$SPARSITY" --set "compute.threads=$threads"
  --set "output.checkpoint=$OUT/pruned.h5" --set "output.report=$OUT/report.json")

# The plan first: a wrong path or setting shows here, on one rank, in seconds.
mpirun -n 1 "$OLICA" "${settings[@]}" --check --ranks "$ranks" --ranks-per-node "$per_node" "$CONFIG" || exit

mpirun -n "$ranks" --map-by "ppr:$per_node:node:PE=$threads" --bind-to core \
  "$OLICA" "${settings[@]}" "$CONFIG"
