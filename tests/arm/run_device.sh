#!/bin/bash
# run_device.sh -- run a command inside the root filesystem made by make_device.sh, as a given board
#   run_device.sh [-c CPU] [-b SRC:DST]... [-p PLUGIN.so] ROOT COMMAND [ARG...]   CPU: cortex-a72 (Pi 4, default) cortex-a76 (Pi 5) cortex-a53 (Pi 3)
# Everything happens in fresh user+mount+pid namespaces: nothing is registered or mounted outside them.
# -p needs the emulator that make_plugin.sh unpacks: a static one loads no plugin.
# Needs root and Linux >= 6.7 (binfmt_misc per user namespace).
set -euo pipefail
CPU=cortex-a72 BINDS=() PLUGIN=
while getopts c:b:p: o; do case $o in c) CPU=$OPTARG;; b) BINDS+=("$OPTARG");; p) PLUGIN=$OPTARG;; *) exit 2;; esac; done
shift $((OPTIND - 1)); ROOT=$(realpath "$1"); shift
[ $# -gt 0 ] || set -- /bin/bash
HOST=$ROOT/../host-qemu; HOST=$(realpath "$HOST")
export ROOT CPU PLUGIN HOST BINDLIST="$(printf '%s\n' "${BINDS[@]:-}")"
export MYSYNC; MYSYNC=$(mktemp -u "${TMPDIR:-/tmp}/run_device.XXXXXX"); mkfifo "$MYSYNC"; trap 'rm -f "$MYSYNC"' EXIT

inner() {                                   # runs as root of the new user namespace
  read -r _ < "$MYSYNC"                     # wait for the uid map
  local arch=arm64 q=qemu-aarch64-static magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  local mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  mount --make-rprivate /
  if [ -n "$PLUGIN" ]; then                 # the dynamically linked emulator needs its own libraries inside the root
    q=qemu-aarch64
    mkdir -p "$ROOT/lib64" "$ROOT/usr/lib/x86_64-linux-gnu" "$ROOT/run/plugin"
    mount --rbind "$HOST/lib64" "$ROOT/lib64"; mount --rbind "$HOST/x86" "$ROOT/usr/lib/x86_64-linux-gnu"
    mount --bind "$(dirname "$(realpath "$PLUGIN")")" "$ROOT/run/plugin"
  fi
  mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
  echo ":$arch:M::$magic:$mask:$HOST/bin/$q:PF" > /proc/sys/fs/binfmt_misc/register
  mount -t proc proc "$ROOT/proc"; mount --rbind /dev "$ROOT/dev"; mount --rbind /sys "$ROOT/sys"

  local ci=$ROOT/etc/cpuinfo.${CPU%%,*}; [ -f "$ci" ] && mount --bind "$ci" "$ROOT/proc/cpuinfo"
  local b; while read -r b; do [ -n "$b" ] || continue
    mkdir -p "$ROOT/${b#*:}"; mount --rbind "${b%%:*}" "$ROOT/${b#*:}"; done <<< "$BINDLIST"
  export container=lxc QEMU_CPU=$CPU HOME=/root LANG=C.UTF-8 PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  if [ -n "$PLUGIN" ]; then QEMU_PLUGIN=/run/plugin/$(basename "$PLUGIN"); export QEMU_PLUGIN; fi
  unset LD_LIBRARY_PATH ROOT CPU PLUGIN HOST BINDLIST MYSYNC TMPDIR
  # not `exec`: the emulator kills itself where a signal ends its guest, and the kernel lets no first process of a
  # namespace do that: it would hang for ever
  local rc=0; chroot "$NEWROOT" "$@" || rc=$?; exit $rc
}
export -f inner; export NEWROOT=$ROOT
unshare -U -m -p -f --kill-child bash -c 'inner "$@"' run_device "$@" <&0 &
pid=$!
until [ "$(readlink /proc/$pid/ns/user)" != "$(readlink /proc/self/ns/user)" ]; do sleep 0.01; done
echo '0 0 65536' > /proc/$pid/uid_map; echo '0 0 65536' > /proc/$pid/gid_map; echo go > "$MYSYNC"
rc=0; wait $pid || rc=$?; exit $rc
