#!/bin/bash
# test-nodes.sh [OLICA_MPI]: a job over two machines, olica-a and olica-b (test-hosts.sh). mpirun runs on olica-a.
#
#   1. The checkpoint's datasets have the bytes that one machine writes, with two ranks a host and with one and three.
#   2. A table of seconds, calls and bytes, over the bare link and over one of 1 ms and 10 Gb/s, beside what
#      jobs/model.py says; the bytes must lie within 10 % of it. Where the kernel has no netem, a process holds every
#      frame for 1 ms.
#   3. The link goes down in the middle. All ranks of both hosts must end within ten times [run] stall; with the link up
#      again mpirun must end with an error, and the next start must go on to the same bytes. Then the same with Open MPI's
#      keep-alive messages, which end the job while the link is still down.
#
# Wants root, network namespaces, bridges and veth (else it says "skipped" and why), and Debian's iproute2 (`make
# check-nodes` installs it). The machines are gone with the processes that it starts. Prints what happens as it happens,
# and "N passed, M failed" last.
cd "$(dirname "$0")/.." || exit 70
OLICA=$(realpath "${1:-build/olica_mpi}")
. jobs/test-common.sh
skipped=0
. jobs/test-hosts.sh
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
# ---- the jobs -------------------------------------------------------------------------------------------------

settings() { # settings NAME: its outputs
  options=(--set calibration.samples=32 --set restart.cost=1 --set "output.checkpoint=$work/$1.h5" --set "output.report=$work/$1.json" "$work/job.ini")
}

# job NAME ON-A ON-B [OPTION...]: so many ranks on the hosts. Its words go to NAME.log.
job() {
  local name=$1 hosts=olica-a:$2,olica-b:$3 ranks=$(($2 + $3)) options
  shift 3
  settings "$name"
  on olica-a timeout 300 mpirun --host "$hosts" -n "$ranks" "$OLICA" "$@" "${options[@]}" >>"$work/$name.log" 2>&1
}

# hosts NAME: of its ranks, in order, and the number of nodes
hosts() { /usr/bin/python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); print(*(x["host"] for x in r["ranks"]), r["run"]["nodes"])' "$work/$1.json"; }
on_hosts() { [ "$(hosts "$1")" = "$2" ]; }
same() { same_model "$work/one.h5" "$work/$1.h5"; }

reference() {
  local options
  settings one
  write_config "$work/job.ini" 32
  OMPI_MCA_btl=self,vader OMPI_MCA_oob_tcp_if_include=lo mpirun -n 4 "$OLICA" "${options[@]}" >"$work/one.log" 2>&1 || give_up "the program does not run"
  say "one machine, four ranks: done"
}

test_bytes() {
  pass_if "two ranks on either host succeed" job two-two 2 2
  pass_if "they are on two nodes, which the report names" on_hosts two-two "olica-a olica-a olica-b olica-b 2"
  pass_if "the bytes are those of one machine" same two-two
  pass_if "one rank and three succeed" job one-three 1 3
  pass_if "they are where they should be" on_hosts one-three "olica-a olica-b olica-b olica-b 2"
  pass_if "the bytes are those of one machine" same one-three
}

sent() { on "$1" cat /sys/class/net/eth0/statistics/tx_bytes; }

# measure LINK ON-A ON-B: a job, and its line for the table
measure() {
  local name=traffic-$1-$2-$3 a b
  a=$(sent olica-a) b=$(sent olica-b)
  job "$name" "$2" "$3" || return
  echo "$1 $2+$3 $work/$name.json $(($(sent olica-a) - a)) $(($(sent olica-b) - b))" >>"$work/traffic"
}

test_traffic() {
  local layout
  for layout in "1 1" "2 2"; do
    # shellcheck disable=SC2086 # words
    pass_if "bare link, $layout ranks" measure bare $layout
  done
  if slow_link; then
    for layout in "1 1" "2 2"; do
      # shellcheck disable=SC2086 # words
      pass_if "slow link, $layout ranks" measure slow $layout
    done
    pass_if "the slow link changes no byte" same traffic-slow-2-2
    say "slow is $slow"
  fi
  pass_if "bytes of collectives and of the link lie within 10 % of the model's" /usr/bin/python3 jobs/test-traffic.py "$work/traffic"
}

no_ranks() { [ "$(running "$program" olica-a olica-b)" = 0 ]; }
has_segments() { on "$1" ls /dev/shm | grep -q "$2"; } # has_segments HOST OF-HOST: in its shared memory
only_own() { has_segments "$1" "$1" && ! has_segments "$1" "$2"; }
all_gone() { no_ranks && [ "$(running mpirun olica-a)" = 0 ] && [ "$(running orted olica-b)" = 0 ]; }

# start_and_cut NAME OPTION...: in the background; the link goes down when the first layer is pruned
start_and_cut() {
  job "$1" 2 2 "${@:2}" &
  cut_job=$!
  wait_for 200 says "$work/$1.log" "prune layer 0" || give_up "$1 does not prune"
  link down
  cut_at=$SECONDS
}

goes_on() { # goes_on NAME: the next start, once the hosts reach each other
  link up
  wait_for 60 connected || give_up "the hosts do not reach each other again"
  pass_if "with the link up the next start succeeds" job "$1" 2 2
  pass_if "it has gone on where it was" says "$work/$1.log" "going on from"
  pass_if "the bytes are those of one machine" same "$1"
}

test_cut() {
  local code
  start_and_cut cut --set run.stall=2
  say "link down, [run] stall = 2; ranks: $(running "$program" olica-a) and $(running "$program" olica-b)"
  pass_if "olica-a's shared memory is its own" only_own olica-a olica-b
  pass_if "olica-b's shared memory is its own" only_own olica-b olica-a
  pass_if "all ranks of both hosts have ended" wait_for 60 no_ranks
  say "after $((SECONDS - cut_at)) s"
  grep 'the job ends' "$work/cut.log"
  pass_if "ranks have said where they waited" says "$work/cut.log" "stall: rank [01] on olica-a waits: it entered .* 2 s ago"
  say "Open MPI: $(running mpirun olica-a) mpirun on olica-a, $(running orted olica-b) daemons on olica-b still wait for each other"
  link up
  pass_if "with the link up Open MPI has ended on both hosts" wait_for 120 all_gone
  say "after $((SECONDS - cut_at)) s"
  wait "$cut_job"
  code=$?
  pass_if "mpirun's exit code says that the job has failed: $code" test $code != 0
  pass_if "what olica-b's ranks have said has come through" says "$work/cut.log" "stall: rank [23] on olica-b waits: it entered .* 2 s ago"
  goes_on cut
}

test_keep_alive() {
  local code
  export OMPI_MCA_oob_tcp_keepalive_time=4 OMPI_MCA_oob_tcp_keepalive_intvl=2 OMPI_MCA_oob_tcp_keepalive_probes=3
  start_and_cut alive
  say "link down, [run] stall = 600, keep-alive messages of Open MPI after 4 s, three, every 2 s"
  pass_if "all ranks, mpirun and the daemon have ended with the link still down" wait_for 60 all_gone
  say "after $((SECONDS - cut_at)) s"
  wait "$cut_job"
  code=$?
  pass_if "mpirun's exit code says that the job has failed: $code" test $code != 0
  goes_on alive
}

start_machines
reference
test_bytes
test_cut
test_keep_alive
test_traffic
echo "$passed passed, $failed failed"
[ $failed = 0 ]
