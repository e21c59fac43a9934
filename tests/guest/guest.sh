# Real guests for stories and the demo: sourced, not run.
#	guest_image                         build/guest/{vmlinuz,initrd}, made when missing
#	guest_start NAME MAC NETDEV         boots a QEMU; NETDEV is the text after -netdev, with an id= in it
#	guest_wait NAME SECONDS             until its console is ready
#	guest_run NAME SECONDS COMMAND      runs it in the guest, prints its output, returns its status
#	guest_stop NAME                     by process id
# $GUEST_DIR holds the consoles.  GUEST_RUN, an array, stands before the QEMU command, as
# (ip netns exec NAME); GUEST_ARGS are more words for QEMU, GUEST_DEVICE more of its network card.

GUEST_HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
GUEST_IMAGE=${GUEST_IMAGE:-$GUEST_HERE/../../build/guest}
GUEST_MEMORY=${GUEST_MEMORY:-128}
declare -A GUEST_PID GUEST_CAT GUEST_FD
GUEST_RUN=() GUEST_ARGS=() GUEST_DEVICE=

guest_image() {
	"$GUEST_HERE/build.sh" "$GUEST_IMAGE" || { echo "no guest image" >&2; return 1; }
}

guest_start() {
	local name=$1 mac=$2 netdev=$3 c=$GUEST_DIR/$1 fd id
	id=$(sed 's/.*\bid=\([^,]*\).*/\1/' <<<"$netdev")
	mkfifo "$c.in" "$c.out"
	cat "$c.out" >"$c.log" &
	GUEST_CAT[$name]=$!
	"${GUEST_RUN[@]}" qemu-system-x86_64 -accel tcg -m "$GUEST_MEMORY" -smp 1 -nodefaults -no-user-config \
		-display none -no-reboot -chardev pipe,id=console,path="$c" -serial chardev:console \
		-kernel "$GUEST_IMAGE/vmlinuz" -initrd "$GUEST_IMAGE/initrd" \
		-append "console=ttyS0 quiet loglevel=2 panic=-1 mitigations=off random.trust_cpu=on tsc=reliable hostname=$name" \
		-netdev "$netdev" -device virtio-net-pci,netdev="$id",mac="$mac",romfile="$GUEST_DEVICE" \
		"${GUEST_ARGS[@]}" >"$c.qemu" 2>&1 &
	GUEST_PID[$name]=$!
	exec {fd}<>"$c.in"
	GUEST_FD[$name]=$fd
	echo 0 >"$c.n" # a file: guest_run is used in subshells too
}

guest_wait() {
	local name=$1 end=$((SECONDS + $2))
	until grep -q '^@@ready' "$GUEST_DIR/$name.log" 2>/dev/null; do
		if ! kill -0 "${GUEST_PID[$name]}" 2>/dev/null; then
			echo "guest $name ended: $(cat "$GUEST_DIR/$name.qemu")" >&2
			return 1
		fi
		if ((SECONDS >= end)); then
			echo "guest $name did not boot in $2 s: $(tail -n 3 "$GUEST_DIR/$name.log")" >&2
			return 1
		fi
		sleep 0.05
	done
}

guest_run() {
	local name=$1 end=$((SECONDS + $2)) n log=$GUEST_DIR/$1.log
	n=$(($(cat "$GUEST_DIR/$1.n") + 1))
	echo $n >"$GUEST_DIR/$1.n"
	printf '%s %s\n' "$n" "$3" >&"${GUEST_FD[$name]}"
	until grep -q "^@@end $n " "$log"; do
		if ((SECONDS >= end)); then
			echo "guest $name: no end of '$3' in $2 s" >&2
			return 124
		fi
		sleep 0.05
	done
	tr -d '\r' <"$log" | sed -n "/^@@begin $n\$/,/^@@end $n /p" | sed '1d;$d'
	return "$(sed -n "s/^@@end $n \([0-9]*\).*/\1/p" "$log")"
}

guest_stop() {
	local name=$1 fd
	[ -n "${GUEST_PID[$name]:-}" ] || return 0
	kill "${GUEST_PID[$name]}" 2>/dev/null
	wait "${GUEST_PID[$name]}" 2>/dev/null
	fd=${GUEST_FD[$name]}
	exec {fd}>&-
	kill "${GUEST_CAT[$name]}" 2>/dev/null
	wait "${GUEST_CAT[$name]}" 2>/dev/null
	rm -f "$GUEST_DIR/$name.in" "$GUEST_DIR/$name.out"
	unset "GUEST_PID[$name]" "GUEST_FD[$name]" "GUEST_CAT[$name]"
}

guest_stop_all() {
	local name
	for name in "${!GUEST_PID[@]}"; do guest_stop "$name"; done
}
