#!/bin/bash
# A scaling study: the same job on several numbers of ranks and threads, several times each, and its tables and plots.
#
#   jobs/scaling.sh --local "1 2 1x2" --config input/demo/config.ini       one machine, one run after the other
#   jobs/scaling.sh --slurm "16x4 32x4 64x4 128x4" --config llama.ini      Slurm: for each case an array of its repetitions
#
# A case is RANKSxTHREADS; RANKS alone means one thread each. Options after the cases:
#   --config FILE    what to run (config.ini)
#   --runs N         repetitions of each case (5)
#   --out DIR        directory of the reports (./scaling); existing reports are kept and their runs skipped
#   --weak N         also weak scaling: N calibration sequences a rank, without evaluation
#   --set S.KEY=V    passed to olica_mpi; repeatable
# Strong scaling is the config as it stands: its reports are in DIR/strong, those of weak scaling in DIR/weak.
# The study sets threads, checkpoint, report, the saved survey (none) and resuming (never); all other settings are the
# config's. It removes checkpoints as soon as they are written.

# ---- edit: for Slurm --------------------------------------------------------------------------------------------
CORES=${CORES:-96}              # cores of a node: a case gets as many whole nodes as it needs
TIME=${TIME:-01:00:00}          # of one run
SBATCH_OPTIONS=${SBATCH_OPTIONS:---exclusive --hint=nomultithread}   # --account=... --partition=...
# Your site's modules, for the program and for the MPI it was built with:
# module purge
# module load gcc openmpi scalapack hdf5-parallel slepc openblas
OLICA=${OLICA:-olica_mpi}       # the program: a name on the PATH or a full path
REPORT=${REPORT:-$(dirname "$0")/scaling-report.py}
PYTHON=${PYTHON:-python3}
# ---- end of what to edit ----------------------------------------------------------------------------------------

set -u
usage() { sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2; }

[ $# -ge 2 ] || usage
how=$1 cases=$2
shift 2
config=config.ini runs=5 out=$PWD/scaling weak='' settings=()
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
    --config) config=$2 ;;
    --runs) runs=$2 ;;
    --out) out=$2 ;;
    --weak) weak=$2 ;;
    --set) settings+=(--set "$2") ;;
    *) usage ;;
  esac
  shift 2
done
if [ "$how" = --local ] && ! command -v "$OLICA" >/dev/null; then
  echo "scaling.sh: no program $OLICA; OLICA=/path/to/olica_mpi says where it is" >&2
  exit 2
fi
kinds="strong ${weak:+weak}"
mkdir -p "$out/strong" ${weak:+"$out/weak"} || exit 4
out=$(cd "$out" && pwd)

if [ ! -r "$config" ]; then
  echo "scaling.sh: no config file $config in $PWD; --config FILE names it" >&2
  exit 2
fi
# Threads that wait are to sleep: where ranks and threads share busy cores, spinning takes the core from who has work.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

ranks_of() { echo "${1%x*}"; }
threads_of() { case $1 in *x*) echo "${1#*x}" ;; *) echo 1 ;; esac; }

# run_once KIND CASE RUN MPIRUN_OPTIONS...: one run, unless its report is there.
run_once() {
  local kind=$1 case=$2 run=$3 ranks threads name more=()
  shift 3
  ranks=$(ranks_of "$case") threads=$(threads_of "$case")
  name=$out/$kind/${ranks}x$threads.$run
  grep -qs '"status": "ok"' "$name.json" && return
  [ "$kind" = weak ] && more=(--set "calibration.samples=$((weak * ranks))" --set evaluate.tokens= --set evaluate.text= --set evaluate.tasks=)
  mpirun "$@" -n "$ranks" -x OMP_WAIT_POLICY "$OLICA" --quiet --fresh ${settings[@]+"${settings[@]}"} ${more[@]+"${more[@]}"} --set "compute.threads=$threads" \
    --set "output.checkpoint=$name.h5" --set "output.report=$name.json" --set output.overwrite=yes --set calibration.save= "$config" >"$name.log" 2>&1
  local code=$?
  rm -f "$name".h5 "$name".h5.part "$name".h5.lock "$name".h5.restart.*
  # The report of a run that failed would be taken for one that is done.
  [ $code = 0 ] || { mv -f "$name.json" "$name.failed.json" 2>/dev/null; echo "$name.log: exit code $code" >&2; }
  return $code
}

print_reports() {
  for kind in $kinds; do
    local option=
    [ "$kind" = weak ] && option=--weak
    "$PYTHON" "$REPORT" $option --out "$out/$kind" "$out/$kind"/*x*[0-9].json || exit
  done
}

run_local() { # repetitions outside, so that a machine's moods hit all cases alike
  local run kind case options
  for run in $(seq "$runs"); do
    for kind in $kinds; do
      for case in $cases; do
        options=(--bind-to none --oversubscribe)
        if [ $(($(ranks_of "$case") * $(threads_of "$case"))) -gt "$(nproc)" ] && [ -z "${OMPI_MCA_mpi_yield_when_idle:-}" ]; then
          options+=(--mca mpi_yield_when_idle 1)
        fi
        run_once "$kind" "$case" "$run" "${options[@]}" || exit
      done
    done
  done
  print_reports
}

submit() { # an array of repetitions for each case, on whole nodes
  local case kind ranks threads nodes each
  for kind in $kinds; do
    for case in $cases; do
      ranks=$(ranks_of "$case") threads=$(threads_of "$case")
      nodes=$(((ranks * threads + CORES - 1) / CORES))
      each=$(((ranks + nodes - 1) / nodes))
      # shellcheck disable=SC2086
      sbatch --time="$TIME" $SBATCH_OPTIONS --job-name="olica-$kind-$case" --array="1-$runs" --nodes=$nodes --ntasks-per-node=$each \
        --cpus-per-task="$threads" --output="$out/$kind/slurm-%A-%a.log" \
        "$0" --task "$kind $case" --config "$config" --out "$out" ${weak:+--weak "$weak"} ${settings[@]+"${settings[@]}"} || exit
    done
  done
  echo "when all are done:"
  for kind in $kinds; do
    echo "  $PYTHON $REPORT $([ "$kind" = weak ] && echo --weak) --out $out/$kind $out/$kind/*x*[0-9].json"
  done
}

case $how in
  --local) run_local ;;
  --slurm) submit ;;
  --task) # inside the array: one repetition; "KIND CASE" stands where the cases do
    read -r kind case <<<"$cases"
    run_once "$kind" "$case" "$SLURM_ARRAY_TASK_ID" --map-by "ppr:$SLURM_NTASKS_PER_NODE:node:PE=$(threads_of "$case")" --bind-to core ;;
  *) usage ;;
esac
