#!/bin/bash
# Several sparsities from one calibration, under Slurm:
#   CONFIG=/data/me/llama.ini jobs/slurm-array.sh 0.1 0.2 0.33 0.5
# Not a job itself: it submits slurm.sh for the first sparsity, which makes the statistics, and for the others as an
# array that begins when the first has succeeded. Nodes, ranks, time and modules are edited in slurm.sh; what stands
# between the rulers can be edited here or given from outside.

# ---- edit -----------------------------------------------------------------------------------------------------
CONFIG=${CONFIG:-$PWD/config.ini}                 # a full path
OUTS=${OUTS:-$PWD}                                # gets a directory olica-SPARSITY for each; a full path
STATISTICS=${STATISTICS-$OUTS/statistics.h5}      # of the calibration; empty: everyone calibrates for himself
AT_ONCE=${AT_ONCE:-4}                             # jobs that run at the same time
OPTIONS=${OPTIONS:-}                              # for sbatch, e.g. "--nodes=4 --account=me"
# ---- end of what to edit --------------------------------------------------------------------------------------

set -eu
if [ $# = 0 ]; then
  echo "usage: $0 SPARSITY..." >&2
  exit 2
fi
job=$(dirname "$0")/slurm.sh
read -r -a options <<<"$OPTIONS"
export CONFIG OUTS STATISTICS SPARSITIES="$*"

# An array from the first on, so that all find their sparsity in the same way. `--parsable` prints "ID" or "ID;CLUSTER".
first=$(sbatch --parsable "${options[@]}" --array=0 --output=olica-%A_%a.log "$job")
first=${first%%;*}
echo "job $first: sparsity $1"
if [ $# -gt 1 ]; then
  others=$(sbatch --parsable "${options[@]}" --array="1-$(($# - 1))%$AT_ONCE" --output=olica-%A_%a.log \
    --dependency="afterok:$first" --kill-on-invalid-dep=yes "$job")
  echo "job ${others%%;*}: then ${*:2}, when job $first has succeeded"
fi
