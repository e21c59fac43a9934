#!/bin/bash
# A million sessions of the NAT: memory, look-up, creation (tests/bench/nat_sessions.c says how).
# Goals: at most 160 MiB for a million over 16 remotes a mapping.
. "$(dirname "$0")/_bench.sh"
need jq
out=$RESULTS/nat_sessions.json
"$BUILD/tests/bench/nat_sessions" "${SESSIONS:-1000000}" 16 >"$out" || fail "the benchmark ended badly"
jq -r '"\(.sessions) sessions: \(.grown_mib) MiB, \(.bytes_per_session) bytes each", (.variants | to_entries[] | "\(.key): \(.value.median) ns")' "$out"
goal "MiB for $(jq .sessions "$out") sessions" "$(jq .grown_mib "$out")" '<=' 160
bench_end
