"""One PCP request (RFC 6887) from this namespace, and its answer as words:
	RESULT LIFETIME EPOCH PORT ADDRESS
pcp.py GATEWAY map|peer|announce [key=value...]
	src=ADDRESS proto=6 port=8080 ext=0 life=3600 nonce=1 client=ADDRESS prefer third=ADDRESS filter=PREFIX/LEN bytes=HEX
"""
import ipaddress, socket, struct, sys

gateway, op, args = sys.argv[1], sys.argv[2], dict((a.split("=", 1) + [""])[:2] for a in sys.argv[3:])
num = lambda k, d: int(args.get(k, d))
mapped = lambda a: ipaddress.IPv6Address("::ffff:" + a).packed
RESULTS = """SUCCESS UNSUPP_VERSION NOT_AUTHORIZED MALFORMED_REQUEST UNSUPP_OPCODE UNSUPP_OPTION MALFORMED_OPTION
NETWORK_FAILURE NO_RESOURCES UNSUPP_PROTOCOL USER_EX_QUOTA CANNOT_PROVIDE_EXTERNAL ADDRESS_MISMATCH
EXCESSIVE_REMOTE_PEERS""".split()
OPS = {"announce": 0, "map": 1, "peer": 2}

s = socket.socket(type=socket.SOCK_DGRAM)
s.settimeout(2)
if "src" in args:
    s.bind((args["src"], 0))
s.connect((gateway, 5351))
client = mapped(args.get("client", s.getsockname()[0]))
msg = struct.pack("!BBHI16s", 2, OPS[op], 0, num("life", 3600), client)
if op != "announce":
    msg += struct.pack("!12sB3xHH16s", bytes([num("nonce", 1)] * 12), num("proto", 6), num("port", 8080), num("ext", 0),
                       mapped(args.get("extaddr", "0.0.0.0")))
if op == "peer":
    msg += struct.pack("!H2x16s", 80, mapped("203.0.113.1"))
if "third" in args:
    msg += struct.pack("!BBH16s", 1, 0, 16, mapped(args["third"]))
if "prefer" in args:
    msg += struct.pack("!BBH", 2, 0, 0)
if "filter" in args:
    net = ipaddress.IPv4Network(args["filter"])
    msg += struct.pack("!BBHBBH16s", 3, 0, 20, 0, 96 + net.prefixlen, 0, mapped(str(net.network_address)))
if "bytes" in args:
    msg = bytes.fromhex(args["bytes"])
s.send(msg)
a = s.recv(2000)
if a[0] == 0:
    print("NAT-PMP", struct.unpack("!H", a[2:4])[0])
    sys.exit()
_, opcode, _, result, life, epoch = struct.unpack("!BBBBII", a[:12])
assert a[0] == 2 and opcode & 0x80, a.hex()
port, address = 0, "-"
if op != "announce" and result == 0:
    assert a[24:36] == msg[24:36] and a[36] == msg[36] and a[40:42] == msg[40:42], "the answer is about something else"
    port = struct.unpack("!H", a[42:44])[0]
    address = str(ipaddress.IPv6Address(a[44:60]).ipv4_mapped)
print(RESULTS[result], life, epoch, port, address)
