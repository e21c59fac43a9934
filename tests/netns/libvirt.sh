#!/bin/bash
# What `attach --for libvirt` prints is an interface to libvirt 9.0: its schema takes it, and its QEMU
# driver starts a guest with it that gets a lease (the network boot ROM asks for one; no disk, no KVM).
#
#	QEMU, started by libvirt on the tap "vm1" --- vswitchd (network lab, DHCP) --- 127.0.0.1:20000 udp --- another
#	on vhost-user: vm3.sock, the switch listens --------/                     \--- vm4.sock, QEMU listens
#
# libvirt is unpacked, not installed: its programs see it over /usr, in a mount namespace of their
# own, and its driver runs inside virt-qemu-run, without a daemon.
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need jq qemu-system-x86_64
[ -e /usr/lib/ipxe/qemu/pxe-virtio.rom ] || skip "no network boot ROM: ipxe-qemu is not installed"
LIBVIRT=$("$ROOT/tests/peers.sh" libvirt 2>/dev/null) || skip "no libvirt: apt cannot download it"
export LIBVIRT T

ns $SW
mkdir "$T/etc"
# The user that Debian's package would have made.
{ cat /etc/passwd; echo 'libvirt-qemu:x:64055:64055::/:/bin/false'; } >"$T/etc/passwd"
{ cat /etc/group; echo 'libvirt-qemu:x:64055:'; } >"$T/etc/group"
with_libvirt=(ip netns exec "$PREFIX-$SW" unshare -m sh -c '
	mount -t overlay -o lowerdir="$LIBVIRT/usr":/usr overlay /usr || exit 77
	for d in /run /var/lib; do mount -t tmpfs libvirt $d || exit 77; done # it leaves things there
	for f in passwd group; do mount --bind "$T/etc/$f" /etc/$f || exit 77; done
	exec "$@"' sh)
"${with_libvirt[@]}" true 2>/dev/null || skip "cannot lay libvirt over /usr in a mount namespace"

config <<EOC
version: 1
uplinks:
  host: { type: host }
networks:
  lab: { vlan: 10, mode: nat, uplink: host, subnet: 10.10.10.0/24 }
ports:
  u: { type: udp, listen: "127.0.0.1:20000", peer: "127.0.0.1:20001", network: lab }
  vm3: { type: vhost-user, socket: $T/vm3.sock, role: server, network: lab }
  vm4: { type: vhost-user, socket: $T/vm4.sock, role: client, network: lab }
  vm5: { type: vhost-user, socket: $T/vm5.sock, network: lab, queues: 4 }
EOC
daemon_start

domain() { # NAME, what attach prints on stdin: its interface, after what it says is <domain>'s
	local text
	text=$(cat)
	cat <<-EOX
	<domain type='qemu'>
	  <name>$1</name>
	  <memory unit='MiB'>64</memory>
	$(sed -n '/in <domain>/,/in <devices>/p' <<<"$text")
	  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='network'/></os>
	  <devices>
	    <emulator>$(command -v qemu-system-x86_64)</emulator>
	$(sed '/in <domain>/,/in <devices>/d' <<<"$text")
	  </devices>
	</domain>
	EOX
}
start() { # NAME: $STARTED is who runs it
	mkdir -p "$T/$1/etc" "$ROOT/build/peers/libvirt-cache"
	ln -s "$ROOT/build/peers/libvirt-cache" "$T/$1/cache" # what it found out about QEMU in two seconds
	cat >"$T/$1/etc/qemu.conf" <<-EOQ
	user = "root"
	group = "root"
	security_driver = "none"
	remember_owner = 0
	stdio_handler = "file"
	cgroup_controllers = []
	namespaces = []
	hugetlbfs_mount = []
	EOQ
	spawn "${with_libvirt[@]}" virt-qemu-run --root "$T/$1" "$T/$1.xml"
	STARTED=$SPAWNED
}
valid() { "${with_libvirt[@]}" virt-xml-validate "$1" domain; }
mac_of() { sed -n "s/.*mac address='\([^']*\)'.*/\1/p" "$T/$1.xml"; }
leased() { jctl ".[] | select(.mac == \"$(mac_of "$1")\" and .port == \"$2\") | .address" lease list; }

gets_lease() { wait_for 40 leased "$@" || { cat "$T"/spawn.*; return 1; }; }

check "attach makes a port" eval 'ctl attach lab --for libvirt --name vm1 --type tap | domain vm1 >"$T/vm1.xml"'
check "and knows the one that is there" eval 'ctl attach lab --for libvirt --name u | domain vm2 >"$T/vm2.xml"'
for vm in vm3 vm4 vm5; do
	check "$vm is a vhost-user port" eval "ctl attach lab --for libvirt --type vhost-user --name $vm | domain $vm >'$T/$vm.xml'"
	check "libvirt's schema takes $vm" valid "$T/$vm.xml"
done
check "libvirt's schema takes an interface on a tap" valid "$T/vm1.xml"
check "and one on udp" valid "$T/vm2.xml"
sed "s/<target dev=/<target device=/" "$T/vm1.xml" >"$T/wrong.xml"
refute "but not just anything" valid "$T/wrong.xml"
start vm1; first=$STARTED
start vm2
check "the guest that libvirt starts on the tap has a lease" gets_lease vm1 vm1
check "and the one on udp" gets_lease vm2 u
end_spawned "$first"
start vm3; first=$STARTED
start vm4
check "the guest that libvirt starts on vhost-user has a lease" gets_lease vm3 vm3
check "and the one whose QEMU listens" gets_lease vm4 vm4
end_spawned "$first"
check "libvirt's tap goes with its guest" wait_for 10 eval 'jctl ".[] | select(.name == \"vm1\") | .state" port list | grep -qx down'
finish
