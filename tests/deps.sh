#!/bin/sh
# Debian packages the project uses, by purpose, and whether they are here.
#	deps.sh require GROUP...   say what is missing and fail
#	deps.sh install GROUP...   install what is missing (root), or print the exact line
# No package in these lists starts a service; those of peers that would are unpacked by
# peers.sh instead.
set -u

build='gcc make pkg-config libevent-dev libnl-3-dev libnl-route-3-dev libbpf-dev libpcap-dev libfyaml-dev libjansson-dev libslirp-dev libglib2.0-dev libc6-dev git'
unit='libcmocka-dev'
fuzz='clang libclang-rt-14-dev'
lint='clang-format clang-tidy cppcheck'
guest='qemu-system-x86 ipxe-qemu busybox-static cpio'
net='iproute2 iputils-ping iputils-arping iperf3 tcpdump tshark python3-scapy udhcpc isc-dhcp-client bind9-dnsutils curl netcat-openbsd nftables ethtool socat strace jq procps dnsmasq-base traceroute nmap stun-client hping3 mtr-tiny iputils-tracepath natpmpc miniupnpc ndisc6'
bench='iperf3 nftables bridge-utils jq slirp4netns hping3'

missing() {
	for p in $*; do
		dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null | grep -q '^ii' || echo "$p"
	done
}

list() {
	for g in "$@"; do
		case $g in
		build) echo $build ;; unit) echo $unit ;; fuzz) echo $fuzz ;; lint) echo $lint ;;
		guest) echo $guest ;; net) echo $net ;; bench) echo $bench ;;
		*) echo "deps.sh: unknown group '$g'" >&2; exit 2 ;;
		esac
	done
}

verb=${1:-}; [ $# -gt 0 ] && shift
case $verb in
require)
	command -v dpkg-query >/dev/null || exit 0 # not Debian: the compiler will tell
	m=$(missing $(list "$@"))
	[ -z "$m" ] && exit 0
	echo "missing Debian packages: $(echo $m)" >&2
	echo "install them with 'make deps' as root, or: apt-get install --no-install-recommends $(echo $m)" >&2
	exit 1 ;;
install)
	m=$(missing $(list "$@"))
	[ -z "$m" ] && exit 0
	line="apt-get install -y --no-install-recommends $(echo $m)"
	if [ "$(id -u)" != 0 ]; then
		echo "not root; as root, type:" >&2
		echo "  $line" >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	# Belt and braces: whatever a package would start, does not start here.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
		trap 'rm -f $policy' EXIT INT TERM
	fi
	echo "installing: $(echo $m)"
	$line >/tmp/vswitchd-deps.$$ 2>&1 || { apt-get update >/dev/null 2>&1; $line >/tmp/vswitchd-deps.$$ 2>&1; } ||
		{ tail -n 5 /tmp/vswitchd-deps.$$ >&2; rm -f /tmp/vswitchd-deps.$$; exit 1; }
	rm -f /tmp/vswitchd-deps.$$ ;;
*)
	echo "usage: deps.sh require|install GROUP..." >&2; exit 2 ;;
esac
