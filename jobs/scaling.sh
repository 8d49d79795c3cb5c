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
#   --weak-layers N  also weak scaling by layers: a model of N layers a rank, without evaluation, made of the config's (deepen.py), in
#                    DIR/models
#   --stripes "1 8"  also I/O: every case with each striping_factor ([io]) of the checkpoint's file, without evaluation
#   --bindings "core socket none"   also binding: every case with each of mpirun's --bind-to (--local alone)
#   --skip-strong yes               without strong scaling
#   --nodes N        of --local: so many hosts of mpirun's --host list share the ranks of a case evenly (HOSTS="a b")
#   --set S.KEY=V    passed to olica_mpi; repeatable
# Strong scaling is the config as it stands: its reports are in DIR/strong, the others' in DIR/weak, weak-layers, io, binding.
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
usage() { sed -n '2,25s/^# \{0,1\}//p' "$0" >&2; exit 2; }

[ $# -ge 2 ] || usage
how=$1 cases=$2
shift 2
config=config.ini runs=5 out=$PWD/scaling weak='' layers='' stripes='' bindings='' strong=strong nodes=1 settings=()
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
    --config) config=$2 ;;
    --runs) runs=$2 ;;
    --out) out=$2 ;;
    --weak) weak=$2 ;;
    --weak-layers) layers=$2 ;;
    --stripes) stripes=$2 ;;
    --bindings) bindings=$2 ;;
    --skip-strong) strong='' ;;
    --nodes) nodes=$2 ;;
    --set) settings+=(--set "$2") ;;
    *) usage ;;
  esac
  shift 2
done
if [ "$how" = --local ] && ! command -v "$OLICA" >/dev/null; then
  echo "scaling.sh: no program $OLICA; OLICA=/path/to/olica_mpi says where it is" >&2
  exit 2
fi
kinds="$strong ${weak:+weak} ${layers:+weak-layers} ${stripes:+io} ${bindings:+binding}"
for kind in $kinds; do mkdir -p "$out/$kind" || exit 4; done
out=$(cd "$out" && pwd)

if [ ! -r "$config" ]; then
  echo "scaling.sh: no config file $config in $PWD; --config FILE names it" >&2
  exit 2
fi
# Threads that wait are to sleep: where ranks and threads share busy cores, spinning takes the core from who has work.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

ranks_of() { echo "${1%x*}"; }
threads_of() { case $1 in *x*) echo "${1#*x}" ;; *) echo 1 ;; esac; }

# What the cases of a kind are tried with: a word behind @ in the report's name.
labels_of() {
  case $1 in
    io) echo "$stripes" ;;
    binding) echo "$bindings" ;;
    *) echo - ;;
  esac
}

# The model of a config file, from where the file lies.
model_of() {
  local path
  path=$(sed -n '/^\[model\]/,/^\[[^m]/s/^path *= *\([^;]*[^; ]\).*/\1/p' "$config")
  (cd "$(dirname "$config")" && realpath "$path")
}

deep_model() { # deep_model LAYERS: its directory; made unless it is there
  [ -r "$out/models/$1/config.json" ] || "$PYTHON" "$(dirname "$0")/deepen.py" "$(model_of)" "$1" "$out/models/$1" || exit
  echo "$out/models/$1"
}

# run_once KIND CASE LABEL RUN MPIRUN_OPTIONS...: one run, unless its report is there.
run_once() {
  local kind=$1 case=$2 label=$3 run=$4 ranks threads name more=() alone=(--set evaluate.tokens= --set evaluate.text= --set evaluate.tasks=)
  shift 4
  ranks=$(ranks_of "$case") threads=$(threads_of "$case")
  name=$out/$kind/${ranks}x$threads$([ "$label" = - ] || echo "@$label").$run
  grep -qs '"status": "ok"' "$name.json" && return
  case $kind in
    weak) more=(--set "calibration.samples=$((weak * ranks))" "${alone[@]}") ;;
    weak-layers) more=(--set "model.path=$(deep_model $((layers * ranks)))" "${alone[@]}") || exit ;;
    io) more=(--set "io.striping_factor=$label" "${alone[@]}") ;;
  esac
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
    "$PYTHON" "$REPORT" --kind "$kind" --out "$out/$kind" "$out/$kind"/*x*[0-9].json || exit
  done
}

run_local() { # repetitions outside, so that a machine's moods hit all cases alike
  local run kind case label options
  for run in $(seq "$runs"); do
    for kind in $kinds; do
      for case in $cases; do
        for label in $(labels_of "$kind"); do
          options=(--bind-to "$([ "$kind" = binding ] && echo "$label" || echo none)" --oversubscribe)
          [ "$kind" = binding ] && [ "$label" = core ] && options+=(--map-by "slot:PE=$(threads_of "$case")")
          [ "$nodes" = 1 ] || options+=(--host "$(hosts_of "$(ranks_of "$case")")")
          if [ $(($(ranks_of "$case") * $(threads_of "$case"))) -gt "$(nproc)" ] && [ -z "${OMPI_MCA_mpi_yield_when_idle:-}" ]; then
            options+=(--mca mpi_yield_when_idle 1)
          fi
          run_once "$kind" "$case" "$label" "$run" "${options[@]}" || exit
        done
      done
    done
  done
  print_reports
}

# hosts_of RANKS: of HOSTS (jobs/test-hosts.sh sets OLICA_HOSTS), the first $nodes, with the ranks of each
hosts_of() {
  local host list=() each=$((($1 + nodes - 1) / nodes)) left=$1
  for host in ${HOSTS:-${OLICA_HOSTS:-}}; do
    [ "$left" -le 0 ] || list+=("$host:$((left < each ? left : each))")
    left=$((left - each))
  done
  (IFS=,; echo "${list[*]}")
}

submit() { # an array of repetitions for each case, on whole nodes
  local case kind label ranks threads nodes each
  [ -z "$bindings" ] || { echo "scaling.sh: --bindings is of --local; under Slurm SBATCH_OPTIONS and srun bind" >&2; exit 2; }
  for kind in $kinds; do
    for case in $cases; do
      [ "$kind" != weak-layers ] || deep_model $((layers * $(ranks_of "$case"))) >/dev/null || exit
      for label in $(labels_of "$kind"); do
        ranks=$(ranks_of "$case") threads=$(threads_of "$case")
        nodes=$(((ranks * threads + CORES - 1) / CORES))
        each=$(((ranks + nodes - 1) / nodes))
        # shellcheck disable=SC2086
        sbatch --time="$TIME" $SBATCH_OPTIONS --job-name="olica-$kind-$case$([ "$label" = - ] || echo "-$label")" --array="1-$runs" --nodes=$nodes --ntasks-per-node=$each \
          --cpus-per-task="$threads" --output="$out/$kind/slurm-%A-%a.log" \
          "$0" --task "$kind $case$([ "$label" = - ] || echo " $label")" --config "$config" --out "$out" ${weak:+--weak "$weak"} ${layers:+--weak-layers "$layers"} \
          ${stripes:+--stripes "$stripes"} ${settings[@]+"${settings[@]}"} || exit
      done
    done
  done
  echo "when all are done:"
  for kind in $kinds; do
    echo "  $PYTHON $REPORT --kind $kind --out $out/$kind $out/$kind/*x*[0-9].json"
  done
}

case $how in
  --local) run_local ;;
  --slurm) submit ;;
  --task) # inside the array: one repetition; "KIND CASE LABEL" stands where the cases do
    read -r kind case label <<<"$cases"
    run_once "$kind" "$case" "${label:--}" "$SLURM_ARRAY_TASK_ID" --map-by "ppr:$SLURM_NTASKS_PER_NODE:node:PE=$(threads_of "$case")" --bind-to core ;;
  *) usage ;;
esac
