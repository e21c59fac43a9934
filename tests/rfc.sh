#!/bin/bash
# docs/rfc.md: what tests/rfc/requirements.tsv asks for, joined with what the last test run has shown.
#	rfc.sh write    after `make check` (or the unit tests and stories it needs), writes docs/rfc.md
#	rfc.sh check    fails when the page is not what the run shows, or a MUST is not met
#	rfc.sh lint     fails when a function or test that the table names does not exist
#
# What has been shown: unit tests by their logs in build/check/ ("[ OK ] name"), stories by
# build/rfc/STORY.tsv, which `shows` of tests/netns/_story.sh writes when the story has passed.  A
# unit test counts for every kind of uplink that has stories, as the code it links knows none.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
table=tests/rfc/requirements.tsv

passed_units() { # PROGRAM:TEST of every unit test that passed
	local f
	for f in "$build"/check/unit-test_*.log; do
		[ -e "$f" ] || continue
		sed -n "s/^\[ *OK \] \(.*\)/$(basename "$f" .log | sed 's/^unit-//'):\1/p" "$f"
	done
}

page() {
	cat <<-'EOL'
	# RFC conformance

	Made by `make rfc` from `tests/rfc/requirements.tsv` and the last test run: a cell says "met" when a
	test that shows it has passed there. `interface`, `shared` and `network` are the kinds of uplink that
	translate in the switch; `host` hands sessions to the host's own sockets, and its column says
	in words what that makes of a requirement.

	| requirement | level | asks that | how | code | shown by | interface | shared | network | host |
	|---|---|---|---|---|---|---|---|---|---|
	EOL
	{ passed_units | sed 's/^/unit\t/'; cat "$build"/rfc/*.tsv 2>/dev/null | sort -u | sed 's/^/story\t/'; } |
		awk -F'\t' -v OFS=' | ' '
		FNR == NR && $1 == "unit" { unit[$2] = 1; ; next }
		FNR == NR { kinds[$3] = 1; shown[$2, $3] = 1; if (!index(by[$2] " ", " " $4 " ")) by[$2] = by[$2] " " $4; next }
		/^#/ { next }
		{
			n = split($6, want, ","); units = n > 0; names = ""
			for (i = 1; i <= n; i++) { if (!(want[i] in unit)) units = 0; names = names " " want[i] }
			if (!units) names = ""
			line = "| " $1 OFS $2 OFS $3 OFS $4 OFS ($5 == "" ? "" : "`" $5 "`") OFS
			evidence = by[$1] names; sub(/^ /, "", evidence); gsub(/ /, ", ", evidence)
			line = line evidence
			m = split("interface shared network", k, " ")
			for (i = 1; i <= m; i++)
				line = line OFS (!(k[i] in kinds) ? "not built" : shown[$1, k[i]] || units ? "met" : "unmet" ($8 == "" ? "" : ": " $8))
			print line OFS $7 " |"
		}' - $table
}

lint() {
	local id code unit file name t
	grep -v '^#' $table | while IFS= read -r line; do
		id=$(cut -f1 <<<"$line") code=$(cut -f5 <<<"$line") unit=$(cut -f6 <<<"$line")
		[ "$(awk -F'\t' '{ print NF }' <<<"$line")" = 8 ] || echo "$table: $id: not 8 columns"
		file=${code%%:*} name=${code#*:}
		[ -z "$code" ] || grep -qE "^[a-z].*\b$name\(" "$file" 2>/dev/null || echo "$table: $id: no $name() in $file"
		for t in ${unit//,/ }; do
			file=tests/unit/${t%%:*}.c name=${t#*:}
			grep -qE "\b$name\(" "$file" 2>/dev/null || echo "$table: $id: no test $name in $file"
		done
	done
	grep -hoE '^[[:space:]]*shows .*' tests/netns/*.sh | grep -oE 'RFC[0-9]+ [A-Z0-9.a-z-]+' | sort -u | while IFS= read -r id; do
		grep -q "^$id	" $table || echo "$table: a story shows $id, which is not there"
	done
}

verb=${1:-}
case $verb in
write)
	page >"docs/rfc.md"
	grep -c '| met |' docs/rfc.md ;;
check)
	status=0
	page | diff -u docs/rfc.md - || { echo "docs/rfc.md is not what the tests have shown: run 'make rfc'"; status=1; }
	page | awk -F' \\| ' '$2 == "MUST" && ($7 $8 $9) ~ /unmet/ { print "unmet: " $1; n++ } END { exit n > 0 }' || status=1
	exit $status ;;
lint) lint ;;
*) echo "usage: rfc.sh write|check|lint" >&2; exit 2 ;;
esac
