#!/bin/sh
# Makes the test guest: Debian's cloud kernel and an initramfs of a few files.
#	build.sh DIR    leaves DIR/vmlinuz and DIR/initrd; a second call costs nothing
# The kernel package is unpacked, never installed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: build.sh DIR}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
exec 9>"$dir/.lock"
flock 9 # stories and the demo may ask at once

fetch_kernel() {
	package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image-[0-9]/ {print $2; exit}')
	if [ -z "$package" ]; then
		apt-get update >/dev/null
		package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-[0-9]/ {print $2; exit}')
	fi
	[ -n "$package" ] || { echo "build.sh: apt knows no linux-image-cloud-amd64" >&2; return 1; }
	rm -rf "$dir/root" "$dir"/*.deb
	# An outdated package list names a file that is gone: refresh it once.
	(cd "$dir" && apt-get -qq download "$package" 2>/dev/null) ||
		{ apt-get update >/dev/null && (cd "$dir" && apt-get -qq download "$package"); }
	dpkg -x "$dir"/linux-image-*.deb "$dir/root"
	rm -f "$dir"/linux-image-*.deb
	cp "$dir"/root/boot/vmlinuz-* "$dir/vmlinuz.new"
	mkdir -p "$dir/modules"
	for m in failover net_failover virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_net; do
		find "$dir/root/lib/modules" -name "$m.ko" -exec cp {} "$dir/modules/" \;
	done
	rm -rf "$dir/root"
	mv "$dir/vmlinuz.new" "$dir/vmlinuz"
}

make_initrd() {
	rm -rf "$dir/tree"
	mkdir -p "$dir/tree/bin" "$dir/tree/modules" "$dir/tree/etc"
	cp "$(command -v busybox)" "$dir/tree/bin/busybox"
	cp "$here/init" "$dir/tree/init"
	cp "$here/udhcpc.script" "$dir/tree/etc/udhcpc.script"
	chmod 755 "$dir/tree/init" "$dir/tree/etc/udhcpc.script"
	# In the order in which they need one another.
	for m in failover net_failover virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_net; do
		[ -e "$dir/modules/$m.ko" ] || continue # built into the kernel
		cp "$dir/modules/$m.ko" "$dir/tree/modules/"
		echo "$m.ko" >>"$dir/tree/modules/order"
	done
	(cd "$dir/tree" && find . | cpio --quiet -o -H newc >"$dir/initrd.new")
	rm -rf "$dir/tree"
	mv "$dir/initrd.new" "$dir/initrd"
}

newest() { ls -t "$@" 2>/dev/null | head -n 1; }

[ -e "$dir/vmlinuz" ] || fetch_kernel
files="$dir/initrd $here/init $here/udhcpc.script $here/build.sh $dir/vmlinuz"
[ "$(newest $files)" = "$dir/initrd" ] || make_initrd
