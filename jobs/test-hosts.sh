#!/bin/bash
# test-hosts.sh: two hosts, olica-a and olica-b, made of network namespaces. Each has its own host name, /dev/shm and
# network; a switch joins them, and they share processors and files. Open MPI goes between them by TCP.
#
#   jobs/test-hosts.sh [--slow] COMMAND [ARGUMENT...]
#
# runs COMMAND on olica-a; in it `mpirun --host olica-a:2,olica-b:2 -n 4` works. --slow: the link has 1 ms and 10 Gb/s (of
# netem; without it a process holds every frame for 1 ms). In the environment: OLICA_HOSTS="olica-a olica-b", and
# OLICA_LINK, what the link is. Exit code: COMMAND's; 77 where the kernel does not let us ("skipped" and why).
#
# Or it is sourced, as jobs/test-nodes.sh does, which then calls start_machines, slow_link, link, on and running.
#
# Wants root, network namespaces, bridges and veth, and Debian's iproute2. The hosts are gone with the process that made them.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  here=$(dirname "$0")
  . "$here/test-common.sh"
fi
program=$(basename "${OLICA:-olica_mpi}" | cut -c 1-15) # as the kernel names its processes
skipped=${skipped:-77}                                   # the exit code where there can be no hosts
declare -A machine # the process that holds a machine's namespaces; the switch has a network alone

# The processes of a machine that are not zombies.
processes() {
  local network
  network=$(readlink "/proc/${machine[$1]}/ns/net") || return
  find /proc/[0-9]*/ns/net -maxdepth 0 -lname "${network//[\[\]]/?}" 2>/dev/null | cut -d/ -f3
}

running() { # running NAME MACHINE...: how many processes of that name
  local name=$1 host pid count=0
  shift
  for host; do
    for pid in $(processes "$host"); do
      [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "$name" ] || count=$((count + 1))
    done
  done
  echo $count
}

# shellcheck disable=SC2317 # the trap calls it
tear_down() {
  local name
  for name in "${!machine[@]}"; do
    # shellcheck disable=SC2046 # words
    kill -KILL $(processes "$name") 2>/dev/null
  done
  wait
  rm -rf "$work"
}
trap tear_down EXIT
trap 'exit 1' INT TERM

skip_all() {
  echo "skipped: $1"
  exit "$skipped"
}

# ---- the machines ---------------------------------------------------------------------------------------------

on() { # on MACHINE COMMAND...
  local name=$1
  shift
  TMPDIR=$work/$name nsenter --target="${machine[$name]}" --net --uts --ipc --mount --wd="$PWD" "$@"
}
switch() { nsenter --target="${machine[switch]}" --net "$@"; }

# Has it become what its last command names?
is_ready() { [ "$(tr '\0' ' ' <"/proc/${machine[$1]}/cmdline" 2>/dev/null)" = "sleep 3600 " ]; }

start_machine() { # start_machine NAME ADDRESS
  mkdir "$work/$1"
  # shellcheck disable=SC2016 # the inner shell's
  unshare --net --uts --ipc --mount sh -c 'mount -t tmpfs tmpfs /dev/shm && mount --bind "$2" /etc/hosts &&
    mount -t sysfs sysfs /sys && ip link set lo up && hostname "$1" && exec sleep 3600' - "$1" "$work/hosts" &
  machine[$1]=$!
  disown
  wait_for 60 is_ready "$1" || give_up "$1 does not start"
  switch ip link add "to-$1" type veth peer name eth0 netns "${machine[$1]}" || give_up "$1 gets no cable"
  switch ip link set "to-$1" master hub up
  on "$1" ip address add "$2/24" dev eth0
  on "$1" ip link set eth0 up
}

# What Open MPI starts the other host's daemon with, as it would ssh: AGENT HOST COMMAND LINE.
write_agent() {
  cat >"$work/agent" <<END
#!/bin/bash
case \$1 in
$(for name in olica-a olica-b; do echo "$name) machine=${machine[$name]} ;;"; done)
*) echo "agent: no host \$1" >&2; exit 1 ;;
esac
export TMPDIR=$work/\$1
shift
exec nsenter --target=\$machine --net --uts --ipc --mount bash -c "\$*"
END
  chmod 755 "$work/agent"
}

start_machines() {
  local why
  [ "$(id -u)" = 0 ] || skip_all "namespaces want root"
  why=$(unshare --net --uts --ipc --mount mount -t tmpfs tmpfs /dev/shm 2>&1) || skip_all "no namespaces here: $why"
  printf '127.0.0.1 localhost\n10.99.0.1 olica-a\n10.99.0.2 olica-b\n' >"$work/hosts"
  unshare --net sleep 3600 &
  machine[switch]=$!
  disown
  wait_for 60 is_ready switch || give_up "the switch does not start"
  why=$({ switch ip link add hub type bridge && switch ip link set hub up && switch ip link add x type veth peer name y; } 2>&1) ||
    skip_all "no bridge or no veth here: $why"
  start_machine olica-a 10.99.0.1
  start_machine olica-b 10.99.0.2
  write_agent
  wait_for 60 connected || give_up "the hosts do not reach each other"
  say "$(on olica-a hostname) and $(on olica-b hostname) are up"
}

# Nobody listens on that port: a host that is reached refuses.
connected() { on olica-a timeout 2 bash -c ': </dev/tcp/olica-b/9' 2>&1 | grep -q refused; }
link() { switch ip link set to-olica-b "$1"; } # link up|down: olica-b's port of the switch

# 1 ms on the way and 10 Gb/s, of both hosts. Without netem the second port moves to a hub of its own, and a process
# carries the frames from hub to hub.
slow_link() {
  local why shape="delay 1ms rate 10gbit limit 100000"
  # shellcheck disable=SC2086 # words
  if why=$(on olica-a tc qdisc add dev eth0 root netem $shape 2>&1 && on olica-b tc qdisc add dev eth0 root netem $shape 2>&1); then
    slow="netem: $shape"
    return
  fi
  say "skipped: tc netem, and with it 10 Gb/s ($why); a process holds every frame for 1 ms"
  slow="a process, 1 ms"
  switch /usr/bin/python3 - 0.001 >"$work/wire.log" 2>&1 <<'END' &
import collections, fcntl, os, select, struct, sys, time
def tap(name): # IFF_TAP | IFF_NO_PI
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, 0x400454ca, struct.pack("16sH22x", name.encode(), 0x1002))
    return file
delay, ends, held = float(sys.argv[1]), [tap("end-a"), tap("end-b")], collections.deque()
while True:
    wait = max(0, held[0][0] - time.monotonic()) if held else None
    for end in select.select(ends, [], [], wait)[0]:
        held.append((time.monotonic() + delay, ends[end == ends[0]], os.read(end, 65536)))
    while held and held[0][0] <= time.monotonic():
        _, end, frame = held.popleft()
        try:
            os.write(end, frame)
        except OSError: # an end that is down loses it, as a cable does
            pass
END
  disown
  wait_for 30 switch ip link show end-b >"$work/end-b.log" 2>&1 || {
    say "skipped: the slow link, as there is no TAP device either ($(tail -n 1 "$work/wire.log"))"
    return 1
  }
  switch ip link add far type bridge
  switch ip link set far up
  switch ip link set end-a master hub up
  switch ip link set end-b master far up
  switch ip link set to-olica-b master far
  wait_for 60 connected || give_up "the hosts do not reach each other over the slow link"
}

export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_btl_tcp_if_include=eth0 OMPI_MCA_oob_tcp_if_include=eth0
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_MCA_plm_rsh_agent=$work/agent OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1


# ---- a command on them ----------------------------------------------------------------------------------------

run_there() { # run_there [--slow] COMMAND [ARGUMENT...]
  local link="bare"
  [ "${1:-}" != --slow ] || { link=slow; shift; }
  [ $# -gt 0 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2; }
  start_machines >&2
  [ $link = bare ] || slow_link >&2 || exit "$skipped"
  OLICA_HOSTS="olica-a olica-b" OLICA_LINK=${slow:-bare} on olica-a "$@"
}

[ "${BASH_SOURCE[0]}" != "$0" ] || run_there "$@"
