#!/bin/sh
# Other people's programs that tests run beside ours, unpacked under build/peers: never
# installed, so that no service of theirs starts.
#	peers.sh ovs       Open vSwitch, for the benchmarks
#	peers.sh libvirt   libvirt's tools and QEMU driver, for tests/netns/libvirt.sh
# Prints the folder; fails when apt cannot download it.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$root/build/peers
name=$1
mkdir -p "$dir"
exec 9>"$dir/.lock"
flock 9

download() { apt-get -qq download $packages 2>/dev/null; }
ovs() {
	seen=usr/share/openvswitch/vswitch.ovsschema
	packages='openvswitch-switch openvswitch-common'
	# What their programs need beyond what is here.
	for p in libxdp1 libunbound8 libnuma1 libcap-ng0 libevent-2.1-7; do
		dpkg-query -W -f='${db:Status-Abbrev}' $p 2>/dev/null | grep -q '^ii' || packages="$packages $p"
	done
}
libvirt() {
	seen=usr/bin/virt-qemu-run
	packages=$(apt-get -s install --no-install-recommends libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu 2>/dev/null |
		sed -n 's/^Inst \([^ ]*\) .*/\1/p')
	[ -n "$packages" ] || packages='libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu'
}

case $name in
ovs | libvirt) $name ;;
*) echo "usage: peers.sh ovs|libvirt" >&2; exit 2 ;;
esac
if [ ! -e "$dir/$name/$seen" ]; then
	rm -rf "$dir/$name" "$dir/deb"
	mkdir -p "$dir/deb"
	cd "$dir/deb"
	# Old lists are worth the wait for a benchmark, not for a story of a few seconds.
	download || { [ "$name" = ovs ] && apt-get update >/dev/null && download; } ||
		{ echo "peers.sh: apt cannot download" $packages >&2; exit 1; }
	for d in *.deb; do dpkg -x "$d" "$dir/$name"; done
	rm -rf "$dir/deb"
fi
echo "$dir/$name"
