#!/bin/bash
# What apptainer.def does, without Apptainer (which Debian 12 has no package of): the tree goes where %files says, then
# %post, %test and %runscript run in a clean Debian 12. Not tried this way: Apptainer's own work (the base image from a
# registry, the .sif, bind mounts, a host's mpirun). chroot.sh tells what this needs and what can be set.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/chroot.sh"
definition=$source_tree/packaging/apptainer.def

section() { # section NAME: its lines
  awk -v name="%$1" '/^%/ { inside = ($1 == name); next } inside' "$definition"
}

chroot_make
read -r from to <<<"$(section files)"
[ "$from" = . ]
mkdir -p "$root$to"
git clone --quiet --no-hardlinks "$source_tree" "$root$to"

say "%post"
chroot_run "$(section post)"
say "%test"
chroot_run "$(section environment) $(section test)"
say "%runscript --version"
printf '#!/bin/sh\n%s\n%s\n' "$(section environment)" "$(section runscript)" >"$root/runscript"
chmod +x "$root/runscript"
chroot_run '/runscript --version'
say "done: %post, %test and %runscript work"
