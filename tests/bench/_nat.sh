# The kernel's NAT to compare with: namespaces k (guest), router (nft masquerade), kwan (outside).
#
#	k 10.20.0.2 (eth0) === (r0) router (r1) === (eth0) kwan 198.51.100.1
kernel_nat() {
	ns k router kwan
	veth k eth0 router r0
	veth router r1 kwan eth0
	ipn k addr add 10.20.0.2/24 dev eth0
	ipn router addr add 10.20.0.1/24 dev r0
	ipn router addr add 198.51.100.2/24 dev r1
	ipn kwan addr add 198.51.100.1/24 dev eth0
	ipn k route add default via 10.20.0.1
	on router sysctl -qw net.ipv4.ip_forward=1
	on router nft -f - <<-EOC || skip "no nft masquerade in this kernel"
	table ip nat {
		chain post {
			type nat hook postrouting priority 100
			oifname "r1" masquerade
		}
	}
	EOC
}
