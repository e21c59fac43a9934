# Port control: the codecs alone.
PORTCTL_ALL := nat/portctl.c nat/natpmp.c nat/pcp.c net/wire.c
UNIT += test_portctl
test_portctl_SRC := tests/unit/test_portctl.c $(PORTCTL_ALL)
FUZZ += fuzz_portctl
fuzz_portctl_SRC := tests/fuzz/fuzz_portctl.c $(PORTCTL_ALL)
