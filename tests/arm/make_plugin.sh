#!/bin/bash
# make_plugin.sh DIR -- beside what make_device.sh made in DIR: an emulator that loads plugins, and the plugin that counts.
# Debian's static emulator loads none, and no Debian package has qemu-plugin.h: count_instructions.c declares what it uses.
set -euo pipefail
HERE=$(dirname "$(realpath "$0")"); DIR=$(realpath "$1"); HQ=$DIR/host-qemu
if [ ! -f "$HQ/.plugins-done" ]; then
  mkdir -p "$HQ"/{bin,x86,lib64} "$DIR/.dl"; cd "$DIR/.dl"
  apt-get -o APT::Sandbox::User=root download qemu-user libcapstone4 liburing2 > /dev/null
  for d in ./*.deb; do dpkg -x "$d" x; done
  cp x/usr/bin/qemu-aarch64 "$HQ/bin/"
  LD_LIBRARY_PATH=$PWD/x/usr/lib/x86_64-linux-gnu ldd "$HQ/bin/qemu-aarch64" | awk '/=> \//{print $3}' | xargs -I{} cp -Ln {} "$HQ/x86/"
  cp -L /lib64/ld-linux-x86-64.so.2 "$HQ/lib64/"; cd /; rm -rf "$DIR/.dl"; touch "$HQ/.plugins-done"
fi
mkdir -p "$DIR/plugin"; gcc -O2 -Wall -Wextra -shared -fPIC -o "$DIR/plugin/count_instructions.so" "$HERE/count_instructions.c"
echo "$DIR/plugin/count_instructions.so"
