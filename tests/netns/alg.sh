#!/bin/bash
# FTP with active transfers and TFTP across a NAT that filters strictly: curl as the guests' client, vsftpd and
# dnsmasq outside. Off, they fail cleanly; on, they work, and only for what a guest may ask.
#
#	a 10.10.10.x (ta) --- vswitchd [203.0.113.2 on up0] --- (w0) 203.0.113.1 wan: vsftpd, TFTP; .9 another
. "$(dirname "$0")/_story.sh"
need_root; need_tun; need udhcpc curl dnsmasq jq nc
FTPD=$("$ROOT/tests/peers.sh" vsftpd 2>/dev/null) || skip "no vsftpd: apt cannot download it"
LIBS=$(echo "$FTPD"/usr/lib/*-linux-gnu)

ns $SW
wan
ipn wan addr add 203.0.113.9/24 dev w0
mkdir -p "$T/pub/in" "$T/empty"
head -c 3000000 /dev/urandom >"$T/pub/big"
echo small >"$T/pub/small"
chmod -R a+rX "$T" "$T/pub"
chmod a-w "$T/pub" "$T/empty"
chown daemon "$T/pub/in"
cat >"$T/vsftpd.conf" <<EOC
listen=YES
background=NO
anonymous_enable=YES
no_anon_password=YES
ftp_username=daemon
nopriv_user=nobody
anon_root=$T/pub
secure_chroot_dir=$T/empty
write_enable=YES
anon_upload_enable=YES
seccomp_sandbox=NO
xferlog_enable=NO
connect_from_port_20=YES
EOC
chown root "$T/vsftpd.conf"
spawn on wan env LD_LIBRARY_PATH="$LIBS" "$FTPD/usr/sbin/vsftpd" "$T/vsftpd.conf"; ftpd_out=$SPAWN_OUT
wait_for 10 listening wan 21 || { cat "$ftpd_out"; fail "no FTP server"; }
spawn on wan dnsmasq -k -C /dev/null --port=0 --bind-interfaces --interface=w0 --enable-tftp --tftp-root="$T/pub" --user=root --pid-file="$T/dnsmasq.pid"
wait_for 5 listening_udp wan 69 || fail "no TFTP server"
net() {
	config <<EOC
version: 1
uplinks:
  wan: { type: interface, interface: up0, address: 203.0.113.2/24, gateway: 203.0.113.1 }
networks:
  lab: { vlan: 10, mode: nat, uplink: wan, subnet: 10.10.10.0/24, nat: { filtering: address-and-port-dependent$1 } }
ports:
  a: { type: tap, interface: ta, network: lab }
EOC
}
net ""
daemon_start --test-clock
tap_guest a ta
check "a takes a lease" dhcp a ta
A=$(lease_word a ip)
get() { # get FILE [curl ARG...]: from the FTP server, in active mode
	local f=$1
	shift
	on a curl -sS -m 8 --connect-timeout 3 --ftp-port - "$@" -o "$T/got" "ftp://203.0.113.1/$f" && cmp "$T/got" "$T/pub/$f"
}
tftp() { on a curl -sS -m 6 --connect-timeout 3 -o "$T/got" "tftp://203.0.113.1/$1" && cmp "$T/got" "$T/pub/$1"; }
alg() { jctl ".nat.alg_$1" counters; }
seen() { [ "$(alg "$1")" -ge "$2" ]; }

check "passive transfers need no help" on a curl -sS -m 5 -o "$T/got" ftp://203.0.113.1/small
refute "off: active ones fail" get small
refute "off: TFTP's answer from another port is filtered" tftp small
check "and nothing was looked at" test "$(alg translated)$(alg left)" = 00
net ", alg: [ftp, tftp]"
kill -HUP "$DAEMON"
check "on: an active transfer by EPRT" wait_for 5 get small
check "by PORT" get small --disable-eprt
check "three megabytes" get big
check "an upload" eval 'on a curl -sS -m 8 --ftp-port - -T "$T/pub/big" ftp://203.0.113.1/in/up && cmp "$T/pub/in/up" "$T/pub/big"'
check "several on one connection, whose numbers go on" eval 'on a curl -sS -m 15 --ftp-port - -o "$T/1" ftp://203.0.113.1/big -o "$T/2" ftp://203.0.113.1/small -o "$T/3" ftp://203.0.113.1/big && cmp "$T/1" "$T/pub/big" && cmp "$T/2" "$T/pub/small" && cmp "$T/3" "$T/pub/big"'
check "commands were translated" seen translated 7
check "TFTP" tftp small
check "and in many blocks" tftp big

cat >"$T/say.py" <<'EOP'
import socket, sys
from wire import enter
enter("a")
def control():
    s = socket.create_connection(("203.0.113.1", 21), 3); f = s.makefile("rwb", 0); f.readline()
    for c in b"USER anonymous", b"PASS x": f.write(c + b"\r\n"); f.readline()
    return s, f
me, how = sys.argv[1].replace(".", ","), sys.argv[2]
s, f = control()
def say(c): f.write(c + b"\r\n"); return f.readline().decode()
if how == "bounce": ok = say(b"PORT 203,0,113,9,31,64").startswith("500")
elif how == "low": ok = say(("PORT %s,0,22" % me).encode()).startswith("500")
elif how == "split":  # a command in two segments is left alone, and the connection goes on
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    f.write(("PORT %s," % me).encode())
    import time; time.sleep(0.3)
    f.write(b"100,1\r\n"); f.readline(); ok = say(b"NOOP").startswith("200")
elif how == "again":  # 30 commands, each longer outside than inside, and the answers are in step
    ok = all(say(("PORT %s,%d,7" % (me, 100 + i)).encode()).startswith("200") for i in range(30)) and say(b"NOOP").startswith("200")
sys.exit(not ok)
EOP
ftp_says() { "$PY" "$T/say.py" "$A" "$1"; }
left=$(alg left)
check "another's address is left as it is, and the server refuses it" ftp_says bounce
check "which is counted" seen left $((left + 1))
check "so is a port below 1024" eval 'ftp_says low && seen left $((left + 2))'
refute "and neither has a mapping" jctl 'any(.[]; .inside | endswith(":22") or endswith(":8000"))' nat list
check "a command in two pieces is left, and the connection lives" ftp_says split
check "thirty commands on one connection" ftp_says again
# a port that was named lets in the server, and nobody else, for a minute
spawn on a nc -l -k 40001; inside=$SPAWNED
wait_for 5 listening a 40001
cat >"$T/name.py" <<'EOP'
import socket, subprocess, sys, json, os, time
from wire import enter
enter("a")
s = socket.create_connection(("203.0.113.1", 21), 3); f = s.makefile("rwb", 0); f.readline()
for c in b"USER anonymous", b"PASS x", ("PORT %s,156,65" % sys.argv[1].replace(".", ",")).encode(): f.write(c + b"\r\n"); f.readline()
enter("sw")
rows = json.loads(subprocess.check_output([os.environ["VSWITCHCTL"], "--json", "nat", "list"]))
port = [int(r["outside"].split(":")[1]) for r in rows if r["inside"].endswith(":40001")][0]
def reaches(source):
    enter("wan")
    c = socket.socket(); c.settimeout(1); c.bind((source, 0))
    try: c.connect(("203.0.113.2", port)); return True
    except OSError: return False
    finally: c.close()
first, other = reaches("203.0.113.1"), reaches("203.0.113.9")
enter("sw")
subprocess.check_call([os.environ["VSWITCHCTL"], "clock", "advance", "300"])
late = reaches("203.0.113.1")
print("server %s, another %s, later %s" % (first, other, late))
sys.exit(not (first and not other and not late))
EOP
export VSWITCHCTL
check "the server alone gets in by a port that was named, and not for ever" "$PY" "$T/name.py" "$A"
finish
