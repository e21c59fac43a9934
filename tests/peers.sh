#!/bin/sh
# Other people's programs that tests run beside ours, unpacked under build/peers: never
# installed, so that no service of theirs starts.
#	peers.sh ovs       Open vSwitch 3.1, for the benchmarks
#	peers.sh dpdk      dpdk-testpmd, its drivers and Open vSwitch with DPDK, for the benchmarks
#	peers.sh libvirt   libvirt's tools and QEMU driver, for tests/netns/libvirt.sh
#	peers.sh containers  LXC, podman, Xen's hotplug scripts, for tests/netns/attach.sh
#	peers.sh vsftpd    an FTP server, for tests/netns/alg.sh
#	peers.sh coturn    a STUN server and its NAT tests, for tests/netns/rfc_stun.sh
# Prints the folder; fails when apt cannot download what it needs.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$root/build/peers
name=${1:-}
mkdir -p "$dir"
exec 9>"$dir/.lock"
flock 9

# All that apt would install for these packages, as far as it is not here.
closure() { apt-get -s install --no-install-recommends "$@" 2>/dev/null | sed -n 's/^Inst \([^ ]*\) .*/\1/p'; }
absent() { # of these packages, those that are not installed
	for p in "$@"; do
		dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null | grep -q '^ii' || echo "$p"
	done
}
ovs() {
	seen=usr/share/openvswitch/vswitch.ovsschema
	echo openvswitch-switch openvswitch-common $(absent libxdp1 libunbound8 libnuma1 libcap-ng0 libevent-2.1-7)
}
dpdk() { # only programs are run: without headers and scripts
	seen=usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk
	closure openvswitch-switch openvswitch-switch-dpdk dpdk-dev librte-net-virtio23 librte-net-vhost23 |
		grep -vE '^(lib.*-dev|dpdk|libnss-.*|libpam-.*|systemd.*|pci.ids|pciutils|uuid-runtime|python3.*)$'
}
libvirt() {
	seen=usr/bin/virt-qemu-run
	closure libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu
}
containers() {
	seen=usr/bin/podman
	closure lxc podman crun | grep -vE '^(login|passwd)$'
	echo xen-utils-common
}
vsftpd() {
	seen=usr/sbin/vsftpd
	closure vsftpd | grep -vE '^(adduser|passwd|update-inetd)$'
}
coturn() {
	seen=usr/bin/turnserver
	closure coturn | grep -vE '^(inetutils-)?telnet$'
}
download() {
	packages=$($name)
	[ -n "$packages" ] && apt-get -qq download $packages 2>/dev/null
}

case $name in
ovs | dpdk | libvirt | containers | vsftpd | coturn) $name >/dev/null || true ;;
*) echo "usage: peers.sh ovs|dpdk|libvirt|containers|vsftpd|coturn" >&2; exit 2 ;;
esac
if [ ! -e "$dir/$name/$seen" ]; then
	rm -rf "$dir/$name" "$dir/deb"
	mkdir -p "$dir/deb"
	cd "$dir/deb"
	# Old lists are worth the wait for a benchmark, not for a story of a few seconds.
	download || { case $name in ovs | dpdk) true ;; *) false ;; esac && apt-get update >/dev/null && download; } ||
		{ echo "peers.sh: apt cannot download what $name needs" >&2; exit 1; }
	for d in *.deb; do dpkg -x "$d" "$dir/$name"; done
	rm -rf "$dir/deb"
fi
echo "$dir/$name"
