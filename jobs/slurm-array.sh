#!/bin/bash
# Several sparsities from one calibration, under Slurm:
#   CONFIG=/data/me/llama.ini jobs/slurm-array.sh 0.1 0.2 0.33 0.5
# Not a job itself: it submits slurm.sh for the first sparsity, which makes the statistics, and for the others as an
# array that begins when the first has succeeded. Nodes, ranks, time and modules are edited in slurm.sh; what stands
# between the rulers can be edited here or given from outside.

# ---- edit -----------------------------------------------------------------------------------------------------
# Paths are relative to where this is called.
CONFIG=${CONFIG:-config.ini}
OUTS=${OUTS:-$PWD}           # gets a directory olica-SPARSITY for each
# Of the calibration. STATISTICS= (empty): everyone calibrates for himself. Not set: `[calibration] save` of the config
# file, or where that is empty OUTS/statistics.h5.
# STATISTICS=statistics.h5
AT_ONCE=${AT_ONCE:-4}        # jobs that run at the same time
OPTIONS=${OPTIONS:-}         # for sbatch, e.g. "--nodes=4 --account=me"
# ---- end of what to edit --------------------------------------------------------------------------------------

set -eu
if [ $# = 0 ]; then
  echo "usage: $0 SPARSITY..." >&2
  exit 2
fi
if [ ! -r "$CONFIG" ]; then
  echo "$0: no config file $CONFIG in $PWD; CONFIG=FILE names it" >&2
  exit 2
fi
case $OPTIONS in
  *--export=ALL*) ;;
  *--export*)
    echo "$0: OPTIONS=\"$OPTIONS\" would keep the sparsities from the jobs, expected --export=ALL or none" >&2
    exit 2
    ;;
esac

absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
config_saves() { # has the config file a [calibration] save?
  awk -F= '{ sub(/[;#].*/, "") } /^[ \t]*\[/ { inside = /^[ \t]*\[calibration\]/ }
    inside && $1 ~ /^[ \t]*save[ \t]*$/ { found = $2 ~ /[^ \t]/ } END { exit !found }' "$CONFIG"
}

CONFIG=$(absolute "$CONFIG")
OUTS=$(absolute "$OUTS")
if [ -n "${STATISTICS:-}" ]; then
  STATISTICS=$(absolute "$STATISTICS")
elif [ -n "${STATISTICS+empty}" ]; then
  STATISTICS=none
elif config_saves; then
  STATISTICS=
else
  STATISTICS=$OUTS/statistics.h5
fi
job=$(dirname "$0")/slurm.sh
read -r -a options <<<"--export=ALL --output=olica-%A_%a.log $OPTIONS"
export CONFIG OUTS STATISTICS SPARSITIES="$*"

# An array from the first on, so that all find their sparsity in the same way. `--parsable` prints "ID" or "ID;CLUSTER".
first=$(sbatch --parsable "${options[@]}" --array=0 "$job")
first=${first%%;*}
echo "job $first: sparsity $1"
if [ $# -gt 1 ]; then
  others=$(sbatch --parsable "${options[@]}" --array="1-$(($# - 1))%$AT_ONCE" \
    --dependency="afterok:$first" --kill-on-invalid-dep=yes "$job")
  echo "job ${others%%;*}: then ${*:2}, when job $first has succeeded"
fi
