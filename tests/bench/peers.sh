#!/bin/sh
# Open vSwitch for the benchmarks, unpacked under build/peers: never installed, so that no
# service of it starts.  Prints the folder; fails when apt cannot download it.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$root/build/peers
mkdir -p "$dir"
exec 9>"$dir/.lock"
flock 9
if [ ! -e "$dir/ovs/usr/share/openvswitch/vswitch.ovsschema" ]; then
	rm -rf "$dir/ovs" "$dir/deb"
	mkdir -p "$dir/deb"
	packages='openvswitch-switch openvswitch-common'
	# What their programs need beyond what is here.
	for p in libxdp1 libunbound8 libnuma1 libcap-ng0 libevent-2.1-7; do
		dpkg-query -W -f='${db:Status-Abbrev}' $p 2>/dev/null | grep -q '^ii' || packages="$packages $p"
	done
	(cd "$dir/deb" && { apt-get -qq download $packages 2>/dev/null ||
		{ apt-get update >/dev/null && apt-get -qq download $packages 2>/dev/null; }; }) || { echo "peers.sh: apt cannot download $packages" >&2; exit 1; }
	for d in "$dir"/deb/*.deb; do dpkg -x "$d" "$dir/ovs"; done
	rm -rf "$dir/deb"
fi
echo "$dir/ovs"
