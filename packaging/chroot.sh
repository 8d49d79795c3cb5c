# shellcheck shell=bash
# A clean Debian 12 to try things in, made by debootstrap in a temporary directory that goes when the script ends.
# Sourced by the tests of this directory; needs root, debootstrap and the network.
#   MIRROR=URL   where the packages come from; else debootstrap's own choice
#   BASE=DIR     a tree that debootstrap made before, to copy instead of making one
set -eu
source_tree=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")

if [ "$(id -u)" != 0 ]; then
  echo "skipped: a chroot needs root"
  exit 0
fi
scratch=$(mktemp -d)
root=$scratch/root
trap 'rm -rf --one-file-system "$scratch"' EXIT
trap 'exit 1' INT TERM

say() { echo "$(date '+%T') $*"; }

chroot_make() {
  if [ -n "${BASE:-}" ]; then
    cp -a "$BASE" "$root"
  else
    "$source_tree"/tests/install-deps debootstrap
    debootstrap --variant=minbase bookworm "$root" ${MIRROR:+"$MIRROR"} >"$scratch/debootstrap.log" || {
      tail "$scratch/debootstrap.log"
      exit 1
    }
  fi
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  say "a Debian $(cat "$root/etc/debian_version") with $(chroot "$root" dpkg-query -f '.\n' -W | wc -l) packages"
}

# chroot_run COMMAND: by the tree's sh, as root, with no environment but this, in mounts and processes of its own.
chroot_run() {
  # shellcheck disable=SC2016 # its own arguments
  unshare --mount --pid --fork --kill-child sh -euc '
    mount --make-rprivate /
    mount --rbind /dev "$1/dev"
    mount --bind /sys "$1/sys"
    mount -t proc proc "$1/proc"
    exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$1" sh -euc "$2"' \
    sh "$root" "$1"
}
