#!/bin/bash
# Several sparsities from one calibration, under Slurm:
#   CONFIG=/data/me/llama.ini jobs/slurm-array.sh 0.1 0.2 0.33 0.5
# This script is not a job itself. It submits slurm.sh for the first sparsity, which computes the statistics, and for the
# others as an array that starts after the first has succeeded. Edit nodes, ranks, time and modules in slurm.sh; edit the
# settings between the rulers here, or set them in the environment.

# ---- edit -----------------------------------------------------------------------------------------------------
# Paths are relative to the current directory.
CONFIG=${CONFIG:-config.ini}
OUTS=${OUTS:-$PWD}           # parent of a directory olica-SPARSITY for each
# File of the calibration's statistics. Empty (STATISTICS=): every job calibrates itself. Not set: `[calibration] save`
# of the config file, or OUTS/statistics.h5 if that is empty.
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

# The first job is an array too, so that all jobs find their sparsity in the same way. `--parsable` prints "ID" or "ID;CLUSTER".
first=$(sbatch --parsable "${options[@]}" --array=0 "$job")
first=${first%%;*}
echo "job $first: sparsity $1"
if [ $# -gt 1 ]; then
  others=$(sbatch --parsable "${options[@]}" --array="1-$(($# - 1))%$AT_ONCE" \
    --dependency="afterok:$first" --kill-on-invalid-dep=yes "$job")
  echo "job ${others%%;*}: then ${*:2}, when job $first has succeeded"
fi
