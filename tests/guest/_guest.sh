# The prologue of a guest story: the namespace prologue, and real machines.
. "$(dirname "${BASH_SOURCE[0]}")/../netns/_story.sh"
. "$(dirname "${BASH_SOURCE[0]}")/guest.sh"
GUEST_DIR=$T
story_cleanup() { guest_stop_all; }

need_guests() {
	need_root
	need_tun
	need qemu-system-x86_64 busybox cpio jq
	guest_image || skip "no guest kernel: apt cannot download linux-image-cloud-amd64"
}
# guest_lease NAME: takes a lease under its own name
guest_lease() { guest_run "$1" 15 "udhcpc -i eth0 -f -q -n -t 5 -T 1 -s /etc/udhcpc.script -x hostname:$1"; }
guest_address() { guest_run "$1" 5 "ip -o -f inet addr show dev eth0" | sed -n 's/.*inet \([0-9.]*\).*/\1/p'; }
boots() { guest_wait "$1" 40; }

# What each story wants of two guests, however they are attached.
guests_work() { # NAME OTHER
	check "$1 boots" boots "$1"
	check "$2 boots" boots "$2"
	check "$1 takes a lease" guest_lease "$1"
	check "$2 takes a lease" guest_lease "$2"
	check "$1 finds $2 by name and pings it" guest_run "$1" 10 "nslookup $2.lab.internal 10.10.10.1 && ping -c 2 -W 2 $(guest_address "$2")"
	check "$2 fetches a page through NAT" guest_run "$2" 10 "wget -q -O - http://203.0.113.1:8000/"
	check "$1 fetches 4 MB whole" guest_run "$1" 30 "wget -q -O - http://203.0.113.1:8000/big | md5sum | grep -q $(md5sum <"$T/www/big" | cut -d' ' -f1)"
}
guest_wan() {
	wan
	web_server wan 8000
	head -c 4000000 /dev/urandom >"$T/www/big"
}
guest_networks() { cat <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24, dns: { domain: lab.internal } }
EOC
}

# A guest on a vhost-user port: guest_vhost NAME MAC SOCKET server|client [QEMU ARG...].  The role is
# the switch's, as in the config.  QEMU without KVM wants no MSI-X with vhost-user (vectors=0), and
# the switch must be able to map its memory.  $VHOST_DEVICE: more of the network card.
guest_vhost() {
	local name=$1 mac=$2 socket=$3 side=reconnect=1
	[ "$4" = server ] || side=server=on,wait=off
	shift 4
	GUEST_DEVICE=,vectors=0${VHOST_DEVICE:-}
	GUEST_ARGS=(-object "memory-backend-memfd,id=mem,size=${GUEST_MEMORY}M,share=on" -numa node,memdev=mem
		-chardev "socket,id=v0,path=$socket,$side" "$@")
	guest_start "$name" "$mac" vhost-user,id=n0,chardev=v0
	GUEST_DEVICE= GUEST_ARGS=()
}

# The same with the text that `vswitchctl attach` prints for the port NAME, all of it but for the
# network card: guest_attach NAME MAC
guest_attach() {
	local text
	text=$(ctl attach lab --name "$1" --for qemu) || return
	read -ra GUEST_ARGS <<<"${text%% -netdev *}"
	text=${text#* -netdev }
	GUEST_DEVICE=,vectors=0
	guest_start "$1" "$2" "${text%% *}"
	GUEST_DEVICE= GUEST_ARGS=()
}
