#!/bin/bash
# A comparison under Slurm, every pair of method and sparsity as a job of its own:
#   CONFIG=/data/me/compare.ini jobs/compare.sh "olica refit flap" "0.1 0.2 0.33"
# The config may list the same methods and sparsities (doc/user-guide.md, "Comparing methods and sparsities"). This script
# is not a job itself. It submits slurm.sh as an array, and behind it one more job, which takes over what the array has
# done, makes what has failed again, and writes the summary. Edit nodes, ranks, time and modules in slurm.sh; edit the
# settings between the rulers here, or set them in the environment.

# ---- edit -----------------------------------------------------------------------------------------------------
# Paths are relative to the current directory.
CONFIG=${CONFIG:-config.ini}
OUTS=${OUTS:-$PWD/compare}   # a directory: pruned.METHOD.SPARSITY.h5, report.METHOD.SPARSITY.json, and the summary, report.json
AT_ONCE=${AT_ONCE:-4}        # jobs that run at the same time
OPTIONS=${OPTIONS:-}         # for sbatch, e.g. "--nodes=4 --account=me"
# ---- end of what to edit --------------------------------------------------------------------------------------

set -eu
if [ $# != 2 ]; then
  echo "usage: $0 \"METHOD...\" \"SPARSITY...\"" >&2
  exit 2
fi
if [ ! -r "$CONFIG" ]; then
  echo "$0: no config file $CONFIG in $PWD; CONFIG=FILE names it" >&2
  exit 2
fi
case $OPTIONS in
  *--export=ALL*) ;;
  *--export*)
    echo "$0: OPTIONS=\"$OPTIONS\" would keep the pairs from the jobs, expected --export=ALL or none" >&2
    exit 2
    ;;
esac

absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
listed() { local IFS=,; echo "$*"; }

read -r -a methods <<<"$1"
read -r -a sparsities <<<"$2"
pairs=()
for method in "${methods[@]}"; do
  for sparsity in "${sparsities[@]}"; do pairs+=("$method.$sparsity"); done
done
if [ ${#pairs[@]} -lt 2 ]; then
  echo "$0: $1 with $2 is one job, expected several methods or sparsities; jobs/slurm.sh runs one" >&2
  exit 2
fi

CONFIG=$(absolute "$CONFIG")
OUTS=$(absolute "$OUTS")
METHODS=$(listed "${methods[@]}")
SPARSITY=$(listed "${sparsities[@]}")
mkdir -p "$OUTS"
job=$(dirname "$0")/slurm.sh
read -r -a options <<<"--export=ALL --output=olica-%A_%a.log $OPTIONS"
export CONFIG OUTS METHODS SPARSITY PAIRS="${pairs[*]}"

array=$(sbatch --parsable "${options[@]}" --array="0-$((${#pairs[@]} - 1))%$AT_ONCE" "$job")
array=${array%%;*}
echo "job $array: ${pairs[*]}"
# Whatever has become of them: the last job makes again what is missing.
PAIRS=all
last=$(sbatch --parsable "${options[@]}" --output=olica-%j.log --dependency="afterany:$array" "$job")
echo "job ${last%%;*}: then the summary, $OUTS/report.json"
