#!/bin/bash
# make_device.sh -- build a Raspberry-Pi-like Debian bookworm (arm64) in a folder, without registering, mounting or
# installing anything on the host.   make_device.sh DIR PIP-ARGUMENT...
# Makes DIR/root-arm64 (root filesystem) and DIR/host-qemu (emulators). Idempotent: finished steps are skipped.
# The packages are only unpacked (dpkg -x), not configured: no emulation, about a minute. Use run_device.sh to enter.
set -euo pipefail
DIR=$(mkdir -p "$1" && realpath "$1"); ARCH=arm64; shift
ROOT=$DIR/root-$ARCH; A=$DIR/.apt-$ARCH; HQ=$DIR/host-qemu; SUITE=${SUITE:-bookworm}
# the mirrors that this machine itself uses; set MIRROR and SEC to take others
uris() { { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null || true; } | grep -oE '(http|https|file)://[^] ]*/debian(-security)?/?( |$)' | tr -d ' ' | sort -u; }
MIRROR=${MIRROR:-$(uris | grep -E '/debian/?$' | head -1)}; SEC=${SEC:-$(uris | grep -E '/debian-security/?$' | head -1)}
[ -n "$MIRROR" ] && [ -n "$SEC" ] || { echo "no Debian mirror found in /etc/apt: set MIRROR and SEC" >&2; exit 2; }
KEY=/usr/share/keyrings/debian-archive-keyring.gpg
PKGS=${PKGS:-"base-files base-passwd bash coreutils dash diffutils findutils grep gzip sed tar util-linux mount procps
  hostname login libc-bin libc6 libgomp1 libstdc++6 libatomic1 openssl ca-certificates tzdata netbase iproute2 python3 python3.11 python3-minimal
  python3-pip python3-setuptools python3-wheel python3-distutils python3.11-venv media-types"}
say() { printf '%5ss  %s\n' "$SECONDS" "$*"; }

# 1. the emulator, unpacked from Debian's package
if [ ! -f "$HQ/.done" ]; then
  mkdir -p "$HQ/bin" "$DIR/.dl"; cd "$DIR/.dl"
  apt-get -o APT::Sandbox::User=root download qemu-user-static > /dev/null
  dpkg -x ./*.deb x; cp x/usr/bin/qemu-aarch64-static "$HQ/bin/"; cd /; rm -rf "$DIR/.dl"; touch "$HQ/.done"
  say "qemu $("$HQ/bin/qemu-aarch64-static" --version | awk 'NR==1{print $3}')"
fi

# 2. Debian packages for ARCH: a private apt state, so that the host's dpkg and apt know nothing of ARCH
if [ ! -f "$ROOT/.debs-done" ]; then
  mkdir -p "$A"/{state/lists/partial,cache/archives/partial,etc/preferences.d,etc/trusted.gpg.d} "$ROOT"; : > "$A/status"
  printf 'deb [signed-by=%s] %s %s main\n' $KEY "$MIRROR" "$SUITE" $KEY "$MIRROR" "$SUITE-updates" $KEY "$SEC" "$SUITE-security" > "$A/etc/sources.list"
  apt() { apt-get -q -o APT::Architecture="$ARCH" -o APT::Architectures="$ARCH" -o Dir::State="$A/state" -o Dir::State::status="$A/status" \
    -o Dir::Cache="$A/cache" -o Dir::Etc::sourcelist="$A/etc/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::preferencesparts=/dev/null -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Acquire::Languages=none -o Acquire::Retries=3 "$@"; }
  for t in 1 2 3; do apt update > "$A/log" 2>&1 && break; sleep 5; done; apt -y -d install $PKGS >> "$A/log" 2>&1; say "downloaded $(ls "$A"/cache/archives/*.deb | wc -l) $ARCH packages"
  for d in bin sbin lib; do mkdir -p "$ROOT/usr/$d"; ln -sfn "usr/$d" "$ROOT/$d"; done
  for d in "$A"/cache/archives/*.deb; do dpkg-deb --fsys-tarfile "$d" | tar -x --keep-directory-symlink -C "$ROOT"; done
  rm -rf "$A"
  # what the maintainer scripts would have done, as far as it is needed
  cp -n "$ROOT"/usr/share/base-passwd/passwd.master "$ROOT/etc/passwd"; cp -n "$ROOT"/usr/share/base-passwd/group.master "$ROOT/etc/group"
  (cd "$ROOT/usr/share/ca-certificates" && find . -name '*.crt' | sort | xargs cat) > "$ROOT/etc/ssl/certs/ca-certificates.crt"
  for l in blas lapack; do for d in "$ROOT"/usr/lib/*/$l; do [ -d "$d" ] && ln -sf $l/lib$l.so.3 "$d/../lib$l.so.3"; done; done  # (update-alternatives)
  ln -sf dash "$ROOT/usr/bin/sh"; mkdir -p "$ROOT"/{proc,sys,dev,tmp,run,root,work}; chmod 1777 "$ROOT/tmp"
  echo "$ARCH" > "$ROOT/etc/arm-device-arch"; echo edge-device > "$ROOT/etc/hostname"; echo '127.0.0.1 localhost' > "$ROOT/etc/hosts"
  touch "$ROOT/.debs-done"; say "unpacked: $(du -sm "$ROOT" | cut -f1) MB"
fi

# 3. what XNNPACK, cpuinfo and the agent read to know the board (else they see the host's x86 /proc/cpuinfo and XNNPACK crashes)
cpu() { local i; for i in $(seq 0 $(($(nproc) - 1))); do printf 'processor\t: %d\nBogoMIPS\t: 108.00\nFeatures\t: %s\nCPU implementer\t: 0x41\nCPU architecture: %s\nCPU variant\t: %s\nCPU part\t: %s\nCPU revision\t: %s\n\n' \
  "$i" "$6" "$7" "$3" "$2" "$4"; done > "$ROOT/etc/cpuinfo.$1"; printf 'Hardware\t: BCM2835\nModel\t\t: %s\n' "$5" >> "$ROOT/etc/cpuinfo.$1"; }
V8="fp asimd evtstrm crc32 cpuid"; V82="$V8 aes pmull sha1 sha2 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
cpu cortex-a53 0xd03 0x0 4 "Raspberry Pi 3 Model B Plus Rev 1.3" "$V8" 8
cpu cortex-a72 0xd08 0x0 3 "Raspberry Pi 4 Model B Rev 1.4" "$V8" 8
cpu cortex-a76 0xd0b 0x4 1 "Raspberry Pi 5 Model B Rev 1.0" "$V82" 8

# 4. Python wheels, chosen by the host's pip for the device (no emulation)
if [ $# -gt 0 ]; then
  P=(); for t in manylinux2014 manylinux_2_{17,24,26,27,28,31,34,35,36}; do P+=(--platform "${t}_aarch64"); done
  SITE=$ROOT/usr/local/lib/python3.11/dist-packages; mkdir -p "$SITE"
  "${PIP_PYTHON:-python3}" -m pip install -q --upgrade --no-compile --no-warn-conflicts --target "$SITE" "${P[@]}" --platform linux_aarch64 --implementation cp \
    --python-version 3.11 --only-binary=:all: "$@" 2> >(grep -v '^WARNING' >&2); say "wheels: $(du -sm "$SITE" | cut -f1) MB"
fi
say "ready: $ROOT ($(du -sm "$ROOT" | cut -f1) MB)"
