#!/bin/sh
# What the tests drive besides Python: a broker, a browser, a microphone and networks. Root installs them; others are told the one line.
packages="mosquitto chromium chromium-driver alsa-utils iproute2"
missing=""
for package in $packages; do
  dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q $missing >/dev/null && exit 0
fi
echo "not installed:$missing. The tests that need them are skipped; to run them: sudo apt-get install$missing"
