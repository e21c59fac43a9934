#!/bin/bash
# What the compiler does not check: which layer includes which, one family of files for each library,
# packet bytes walked only in net/, function length, white space, documents that follow the code.
# Prints FILE:LINE: what; fails when it printed anything.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
found=$(mktemp)
trap 'rm -f "$found"' EXIT
sources=$(find net vlan switch tap nat dhcp ctl -name '*.[ch]' 2>/dev/null | sort)
all="$sources $(find tests -name '*.[ch]' | sort)"
scripts=$(find tests Makefile .ci -type f \( -name '*.sh' -o -name '*.py' -o -name '*.mk' -o -name '*.jq' -o -name Makefile -o -name run \) 2>/dev/null)

# Layers point down only: LAYER, then what it may include.
layers() {
	cat <<-EOL | while read -r layer may; do
		net net
		vlan vlan net
		switch switch vlan net
		tap tap switch vlan net
		nat nat switch vlan net
		dhcp dhcp switch vlan net
		ctl ctl dhcp nat tap switch vlan net
	EOL
		grep -nE '^#[[:space:]]*include[[:space:]]+"[a-z]+/' $(printf '%s\n' $sources | grep "^$layer/") /dev/null |
			awk -F'"' -v may=" $may " '{ split($2, p, "/"); if (!index(may, " " p[1] " ")) print $1 $2 ": a layer may not include upward or sideways" }'
	done
}

# Each third-party library is met by one small family of files.
libraries() {
	cat <<-'EOL' | while read -r header files; do
		event2/ ^(net/loop\.c|ctl/metrics[a-z_]*\.c)$
		netlink/ ^(tap|ctl)/(nl[a-z_]*|[a-z_]*_?nl|ifset|ifwatch|rtnl[a-z_]*|link[a-z_]*|hostnet[a-z_]*|hostroute)\.[ch]$
		pcap ^switch/capture\.c$
		bpf/ ^tap/hostcut[a-z_]*\.[ch]$
		libfyaml ^ctl/(config[a-z_]*|schema[a-z_]*)\.[ch]$
		jansson ^ctl/.*\.[ch]$
		(slirp/)?libslirp ^nat/uplink_host\.c$
		cmocka ^tests/
	EOL
		grep -nE "^#[[:space:]]*include[[:space:]]+<$header" $all /dev/null |
			awk -F: -v ok="$files" '$1 !~ ok { print $1 ":" $2 ": a library of another family of files: " $3 }'
	done
}

# Outside net/, bytes of a packet are reached through the wire cursor or a header struct: no casts to a
# number, no numbers put together by hand.
walking() {
	files=$(printf '%s\n' $sources | grep -E '^(vlan|switch|tap|nat|dhcp)/')
	grep -nE '\*\([[:space:]]*(const[[:space:]]+)?(uint(16|32|64)_t|be(16|32|64))[[:space:]]*\*\)' $files /dev/null |
		sed 's/$/   <- packet bytes read by pointer cast outside net\//'
	grep -nE '\[[^]]*\][[:space:]]*<<[[:space:]]*(8|16|24)\b' $files /dev/null |
		sed 's/$/   <- bytes put together by hand outside net\//'
}

# A function is 100 lines at most, braces at the left margin delimiting it.
lengths() {
	awk 'FNR == 1 { open = 0 }
		/^{/ { open = FNR; table = prev ~ /=[[:space:]]*$/ }
		/^[a-z].*[^;]\{$/ && /[=]/ { table = 1; open = FNR }
		/^}/ { if (open && !table && FNR - open > 100) print FILENAME ":" open ": a function of " FNR - open " lines"; open = 0; table = 0 }
		{ prev = $0 }' $sources
}

spaces() {
	grep -nE '[[:space:]]+$' $all $scripts $(find docs -name '*.md' 2>/dev/null) README.md CONTRIBUTING.md 2>/dev/null |
		sed 's/:[^:]*$/: white space at the end of the line/'
	grep -nP '^ {8}' $sources | sed 's/:[^:]*$/: indented with spaces/'
	awk 'length($0) > 120 { print FILENAME ":" FNR ": a line of " length($0) " characters" }' $sources
}

# Documents that are made from tables in the code.
documents() {
	[ -x "${BUILD:-build}/vswitchctl" ] && tests/docs.sh check
}

# A page that names tests as evidence names tests that there are, and functions too.
evidence() {
	page=docs/vhost-user.md
	all_tests=$(cat tests/unit/*.c)
	for t in $(grep -oE '\btest_[a-z0-9_]+' $page | sort -u); do
		[ -e "tests/unit/$t.c" ] || case $all_tests in *"static void $t("*) ;; *) echo "$page: no such test: $t" ;; esac
	done
	code=$(cat tap/*.[ch] switch/*.h)
	for f in $(sed -n '/^### Messages/,/^### What/p' $page | grep -oE '`[a-zA-Z_]+`' | tr -d '`' | sort -u); do
		case $code in *"$f"*) ;; *) echo "$page: nothing is called $f" ;; esac
	done
	for f in $(grep -oE '\bfuzz_[a-z_]+' $page | sort -u); do
		[ -e "tests/fuzz/$f.c" ] || echo "$page: no such fuzz target: $f"
	done
}

conformance() { tests/rfc.sh lint; }

# The shell of the tests at least parses.
shells() {
	for s in $(printf '%s\n' $scripts | grep '\.sh$'); do
		case $(head -n 1 "$s") in '#!/bin/sh') sh -n "$s" ;; *) bash -n "$s" ;; esac || echo "$s: does not parse"
	done 2>&1
}

for rule in layers libraries walking lengths spaces documents evidence conformance shells; do $rule; done >"$found"
if [ -s "$found" ]; then
	sort -u "$found"
	echo "lint: $(sort -u "$found" | wc -l) findings"
	exit 1
fi
echo "lint: clean"
