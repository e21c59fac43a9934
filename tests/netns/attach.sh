#!/bin/bash
# What `attach --for` prints for containers and hypervisors is typed as it stands, and the guest gets a
# lease: LXC, podman (Docker's commands), Xen's hotplug scripts (without Xen), QEMU with Proxmox' arguments, and
# a TAP as Firecracker opens it.
#
#	lxc1, pod1, a guest's vif1.0 (veth), px1, fc1 (TAPs) --- vswitchd (network lab, DHCP)
#
# LXC and podman are unpacked, not installed: they are laid over /usr in a mount namespace.
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need jq busybox qemu-system-x86_64
[ -e /usr/lib/ipxe/qemu/pxe-virtio.rom ] || skip "no network boot ROM: ipxe-qemu is not installed"
PEERS=$("$ROOT/tests/peers.sh" containers 2>/dev/null) || skip "no containers: apt cannot download them"
export PEERS T

ns $SW
mkdir -p "$T/root/bin" "$T/root/proc" "$T/root/sys" "$T/root/dev" "$T/root/etc" "$T/root/tmp" "$T/root/run"
cp "$(command -v busybox)" "$T/root/bin/busybox"
for a in sh ip ifconfig udhcpc sleep; do ln -s busybox "$T/root/bin/$a"; done
mkdir -p "$T/root/usr/share/udhcpc"
printf '#!/bin/sh\n[ "$1" = bound ] && ifconfig $interface $ip netmask $subnet\nexit 0\n' >"$T/root/usr/share/udhcpc/default.script"
chmod 755 "$T/root/usr/share/udhcpc/default.script"
cp "$T/root/usr/share/udhcpc/default.script" "$T/root/etc/udhcpc.script"
with_peers=(ip netns exec "$PREFIX-$SW" unshare -m sh -c '
	mount -t overlay -o lowerdir="$PEERS/usr":/usr overlay /usr || exit 77
	mkdir -p "$T/etc.up" "$T/etc.work"
	mount -t overlay -o lowerdir="$PEERS/etc":/etc,upperdir="$T/etc.up",workdir="$T/etc.work" overlay /etc || exit 77
	for d in /run /var/lib /var/cache /var/tmp /var/log; do mount -t tmpfs peers $d || exit 77; done
	mkdir /var/log/xen
	exec "$@"' sh)
"${with_peers[@]}" true 2>/dev/null || skip "cannot lay containers over /usr in a mount namespace"

config <<EOC
version: 1
networks:
  lab: { vlan: 10, mode: nat, uplink: host, subnet: 10.10.10.0/24 }
uplinks:
  host: { type: host }
EOC
daemon_start
leased() { jctl ".[] | select(.mac == \"$1\" and .port == \"$2\") | .address" lease list; }
gets_lease() { wait_for 20 leased "$@" || { cat "$T"/spawn.* "$LOG"; return 1; }; }

check "attach for LXC" eval 'ctl attach lab --for lxc --name lxc1 --type tap --mac 52:54:00:00:00:01 >"$T/lxc.conf"'
cat >>"$T/lxc.conf" <<EOC
lxc.uts.name = lxc1
lxc.rootfs.path = dir:$T/root
lxc.init.cmd = /bin/busybox udhcpc -f -i eth0
lxc.mount.auto = proc
EOC
spawn "${with_peers[@]}" lxc-start -F -n lxc1 -f "$T/lxc.conf" -P "$T" -o "$T/lxc.log" -l INFO; lxc=$SPAWNED
check "the container that lxc-start makes has a lease" gets_lease 52:54:00:00:00:01 lxc1
end_spawned "$lxc"

# Docker's text, with podman in its place: the same words, its state in $T.
mkdir "$T/bin"
cat >"$T/bin/docker" <<EOC
#!/bin/sh
exec podman --root $T/pods --runroot $T/run --tmpdir $T/run --storage-driver vfs --cgroup-manager cgroupfs \
	--events-backend none --runtime crun "\$@"
EOC
chmod 755 "$T/bin/docker"
check "attach for Docker" eval 'ctl attach lab --for docker --name pod1 --type tap --mac 52:54:00:00:00:02 >"$T/docker.text"'
{
	echo 'set -e; mount -t cgroup2 cgroup /sys/fs/cgroup' # crun looks at it, though told to use none
	sed "s|IMAGE \[COMMAND\]|--no-hosts --ulimit nofile=256 --ulimit nproc=256 --cgroups=disabled --rootfs $T/root /bin/busybox sleep 60|" "$T/docker.text" |
		sed 's|udhcpc -i|udhcpc -q -n -i|'
	echo 'docker rm -f -t 0 pod1'
} >"$T/docker.sh"
PATH=$T/bin:$PATH spawn "${with_peers[@]}" sh "$T/docker.sh"
check "the container that podman starts has a lease" gets_lease 52:54:00:00:00:02 pod1
wait "$SPAWNED"

# Xen's scripts find what to do in xenstore, which is played by two programs.
cat >"$T/bin/xenstore-read" <<'EOC'
#!/bin/sh
case $1 in */vifname) echo xen1 ;; */script) echo /etc/xen/scripts/vif-vswitch ;; *) exit 1 ;; esac
EOC
printf '#!/bin/sh\necho "$*" >>%s/xenstore\n' "$T" >"$T/bin/xenstore-write"
chmod 755 "$T"/bin/xenstore-*
check "attach for Xen" eval 'ctl attach lab --for xen --name xen1 --type tap --mac 52:54:00:00:00:03 >"$T/xen.text"'
sed '/^vif = /d' "$T/xen.text" >"$T/xen.sh"
cat >>"$T/xen.sh" <<'EOC'
XENBUS_PATH=backend/vif/1/0 vif=vif1.0 /etc/xen/scripts/vif-vswitch online || { cat /var/log/xen/*; exit 1; }
EOC
veth $SW vif1.0 $SW xenguest
ipn $SW link set vif1.0 down
ns xg
ip -n "$PREFIX-$SW" link set xenguest netns "$PREFIX-xg"
ipn xg link set xenguest address 52:54:00:00:00:03 up
PATH=$T/bin:$PATH check "Xen's hotplug common code runs the script" "${with_peers[@]}" bash "$T/xen.sh"
check "and is told that it worked" grep -q 'hotplug-status connected' "$T/xenstore"
check "a guest behind the vif has a lease" dhcp xg xenguest
check "on its own port" leased 52:54:00:00:00:03 xen1

# What Proxmox hands to QEMU as it stands; the network boot ROM asks for the lease.
check "attach for Proxmox" eval 'ctl attach lab --for proxmox --name px1 --type tap --mac 52:54:00:00:00:04 >"$T/qm"'
read -ra args <<<"$(sed -n "s/^qm set VMID --args '\(.*\)'$/\1/p" "$T/qm")"
vm=(on $SW qemu-system-x86_64 -accel tcg -m 64 -nodefaults -nographic -boot n)
spawn "${vm[@]}" "${args[@]}"; px=$SPAWNED

# Firecracker's TAP, opened with its flags by QEMU.
check "attach for Firecracker" eval 'ctl attach lab --for firecracker --name fc1 --type tap --mac 52:54:00:00:00:05 >"$T/fc"'
check "its commands make the TAP" on $SW sh "-ec" "$(grep '^ip ' "$T/fc")"
check "its configuration is JSON" eval '{ echo "{"; sed -n "/^\"network/,\$p" "$T/fc"; echo "}"; } >"$T/fc.json" && jq -e ".\"network-interfaces\"[0] | .host_dev_name == \"fc1\" and .guest_mac == \"52:54:00:00:00:05\"" "$T/fc.json"'
spawn "${vm[@]}" -netdev tap,id=n0,ifname=fc1,script=no,downscript=no,vnet_hdr=on -device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:05
check "QEMU with Proxmox' arguments has a lease" gets_lease 52:54:00:00:00:04 px1
check "and a guest on Firecracker's TAP" gets_lease 52:54:00:00:00:05 fc1
end_spawned "$px"
finish
