# shellcheck shell=bash
# test-common.sh: functions shared by the tests of this directory, which source it. Needs $OLICA, the program. All files
# of a test are in $work, which it removes at the end.
set -u
work=$(mktemp -d) || exit 70
passed=0
failed=0

say() { echo "$(date '+%T') $*"; }

pass_if() { # pass_if WHAT COMMAND...
  local what=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
    say "ok: $what"
  else
    failed=$((failed + 1))
    say "FAILED: $what"
  fi
}

give_up() {
  say "FAILED: $1"
  tail -n 20 "$work"/*.log
  exit 1
}

wait_for() { # wait_for SECONDS COMMAND...: waits until the command succeeds; fails after SECONDS
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.3
  done
}

says() { grep -q -- "$2" "$1" 2>/dev/null; }

write_config() { # write_config FILE WINDOWS: the demo's model and ids; the more windows the longer it takes
  local demo=$PWD/input/demo
  cat >"$1" <<END
[model]
path = $demo
[calibration]
tokens = $demo/calibration.npy
[prune]
mlp_num = 2
[evaluate]
tokens = $demo/evaluation.npy
stride = 1
windows = $2
END
}

verifies() { mpirun -n 1 "$OLICA" --verify "$1" >/dev/null; }

same_model() { # same_model A.h5 B.h5: every dataset below /model, byte by byte
  /usr/bin/python3 - "$@" <<'END'
import sys, h5py
def read(name):
    found = {}
    with h5py.File(name) as file:
        file["model"].visititems(lambda path, x: found.update({path: x[()].tobytes()}) if isinstance(x, h5py.Dataset) else None)
    return found
one, other = map(read, sys.argv[1:])
sys.exit(not one or one != other)
END
}
