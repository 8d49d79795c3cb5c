#!/bin/bash
# The README's two commands on a Debian 12 that has nothing but git, make and certificates: `make demo` prunes the
# small model, `make check` installs, builds and runs tests (here those of TESTS). Then `make install`, the module file and
# the manual. What is cloned is the last commit.
# chroot.sh tells what this needs and what can be set.
#   packaging/test-debian.sh
#   TESTS=npy BASE=/var/tmp/bookworm packaging/test-debian.sh
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/chroot.sh"
TESTS=${TESTS:-house or ini}

chroot_make
chroot_run 'apt-get -qq update
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends git make ca-certificates >/dev/null 2>&1'
git clone --quiet --bare --no-hardlinks "$source_tree" "$root/srv/olica_mpi.git"

say "git clone, make demo"
chroot_run 'git clone --quiet /srv/olica_mpi.git /root/olica_mpi && cd /root/olica_mpi && make demo'
say "make check PYTEST='-k \"$TESTS\"'"
chroot_run "cd /root/olica_mpi && make check PYTEST='-k \"$TESTS\"'"
say "make install, module load, man"
chroot_run 'DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends environment-modules man-db >/dev/null 2>&1
  cd /root/olica_mpi && make -s install PREFIX=/opt/olica_mpi'
# shellcheck disable=SC2016 # for the shell inside
chroot_run 'exec bash -euc ". /usr/share/modules/init/bash
  module use /opt/olica_mpi/share/modulefiles && module load olica_mpi
  command -v olica_mpi && olica_mpi --version && man -w olica_mpi && test -d \$OLICA_MPI_SHARE/input/demo"'
say "done"
