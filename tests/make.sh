#!/bin/bash
# What people type to make: help, install and uninstall, format, the words about missing packages; and that lint
# finds what it is there for.  Builds nothing anew, writes to a temporary directory alone.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
T=$(mktemp -d /tmp/vt-make.XXXXXX)
trap 'rm -rf "$T"' EXIT
ok() { echo "  ok: $1"; }
fail() { echo "FAIL: make: $1"; [ ! -s "$T/out" ] || sed 's/^/  > /' "$T/out" | tail -n 20; exit 1; }
check() { local text=$1; shift; "$@" >"$T/out" 2>&1 && ok "$text" || fail "$text ($*)"; }
refute() { local text=$1; shift; "$@" >"$T/said" 2>&1 && fail "$text ($* succeeded)"; ok "$text"; }
says() { cat "$T/said"; grep -qF -- "$1" "$T/said"; }

# ---- help ----
make -s help >"$T/help"
for t in deps demo run check bench fuzz lint format install uninstall help clean; do
	grep -q "^  make $t " "$T/help" || fail "make help does not name '$t'"
done
ok "make help names every target"

# ---- install ----
sanitizer=${build#build}; sanitizer=${sanitizer#/}; sanitizer=${sanitizer//-/,}
mk() { make -s "SANITIZER=$sanitizer" "$@"; }
check "make install" mk install "DESTDIR=$T/root" PREFIX=/usr
cat >"$T/wanted" <<-EOL
	/usr/bin/vswitchctl
	/usr/lib/systemd/system/vswitchd.service
	/usr/sbin/vswitchd
	/usr/share/man/man1/vswitchctl.1
	/usr/share/man/man8/vswitchd.8
EOL
(cd "$T/root" && find . -type f | sed 's/^\.//' | sort) >"$T/there"
check "puts exactly these" diff "$T/wanted" "$T/there"
check "vswitchd --version" "$T/root/usr/sbin/vswitchd" --version
check "vswitchd --help" "$T/root/usr/sbin/vswitchd" --help
check "vswitchctl --version" "$T/root/usr/bin/vswitchctl" --version
check "the unit starts what was installed" grep -q '^ExecStart=/usr/sbin/vswitchd' "$T/root/usr/lib/systemd/system/vswitchd.service"
if command -v systemd-analyze >/dev/null; then
	sed "s,/usr/sbin/vswitchd,$T/root/usr/sbin/vswitchd," "$T/root/usr/lib/systemd/system/vswitchd.service" >"$T/vswitchd.service"
	check "systemd finds no fault with it" systemd-analyze --man=no verify "$T/vswitchd.service"
fi
if command -v man >/dev/null; then
	pages() { for m in "$T"/root/usr/share/man/man?/*; do man --warnings -E UTF-8 -l -Tutf8 -Z "$m" >/dev/null || return 1; done 2>"$T/warnings"; [ ! -s "$T/warnings" ]; }
	check "the manual pages are well-formed" pages
fi
check "make uninstall" mk uninstall "DESTDIR=$T/root" PREFIX=/usr
check "leaves no file" test -z "$(find "$T/root" -type f)"

# ---- format ----
if command -v git-clang-format >/dev/null && git clone -q -s . "$T/tree" 2>/dev/null; then
	check "make format" make -s -f "$PWD/Makefile" -C "$T/tree" format
	check "leaves what is committed alone" git -C "$T/tree" diff --quiet
	printf 'int main(void){return  0;}\n' >"$T/tree/net/main.c"
	git -C "$T/tree" add net/main.c
	check "formats what is not" eval 'make -s -f "$PWD/Makefile" -C "$T/tree" format; grep -qx "	return 0;" "$T/tree/net/main.c"'
fi

# ---- packages that are missing ----
mkdir "$T/bin"
printf '#!/bin/sh\nexit 1\n' >"$T/bin/dpkg-query"
printf '#!/bin/sh\necho 1000\n' >"$T/bin/id"
chmod 755 "$T/bin/dpkg-query" "$T/bin/id"
refute "a build without its packages stops" env "PATH=$T/bin:$PATH" tests/deps.sh require build
check "and says how to install them" says "apt-get install --no-install-recommends gcc make"
refute "make deps without root" env "PATH=$T/bin:$PATH" tests/deps.sh install build unit
check "prints the exact line" says "apt-get install -y --no-install-recommends gcc make"

# ---- lint ----
mkdir -p "$T/lint/tests" "$T/lint/net" "$T/lint/dhcp" "$T/lint/tap"
cp tests/lint.sh "$T/lint/tests/"
printf '#include "switch/port.h"\n' >"$T/lint/net/up.c"
printf '#include "nat/gateway.h"\n' >"$T/lint/dhcp/sideways.c"
printf '#include <event2/event.h>\n#include <slirp/libslirp.h>\n' >"$T/lint/dhcp/library.c"
printf '\treturn *(uint16_t *)p;\n\tn = p[0] << 8 | p[1];\n' >"$T/lint/tap/walk.c"
{ printf 'int f(void)\n{\n'; yes '	g();' | head -n 101; printf '}\n'; } >"$T/lint/tap/long.c"
printf 'int x; \n' >"$T/lint/net/space.c"
refute "lint does not accept a tree full of faults" env BUILD=none "$T/lint/tests/lint.sh"
for fault in net/up.c:1 dhcp/sideways.c:1 dhcp/library.c:1 dhcp/library.c:2 tap/walk.c:1 tap/walk.c:2 tap/long.c:2 net/space.c:1; do
	says "$fault:" >"$T/out" || fail "lint does not see $fault"
done
ok "lint sees each kind of fault"
