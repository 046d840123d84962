#!/usr/bin/env bash
# 25 s of a five-node cluster under kill, partition and pause, with registers.
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/tally-smoke-XXXXXX")
trap 'rm -rf "$dir"' EXIT
json=$dir/report.json # beside the other figures of a tier, if somebody collects them
[ ! -d "$TALLY_BUILD/figures" ] || json=$TALLY_BUILD/figures/nemesis.json
out=$("$TALLY_SRC/tests/nemesis/nemesis" suite quick --dir "$dir" --json="$json" 2>&1)
status=$?
printf '%s\n' "$out" | sed 's/^/# /'
if [ "$status" = 77 ]; then
	echo "ok 1 # SKIP $(printf '%s\n' "$out" | tail -n 1 | sed "s/^skipped: //")"
	echo "1..1"
	exit 0
fi
says() { # sentence command...
	local sentence=$1
	shift
	if "$@"; then echo "ok - $sentence"; else echo "not ok - $sentence"; fi
}
# Both lines of one, with answers of the clients behind its begin.
in_history() {
	grep -A 1000 "\"at\":\"begin\".*\"fault\":\"$1\"" "$dir/history.jsonl" | grep -q '"type":"ok"' &&
		grep -q "\"at\":\"end\".*\"fault\":\"$1\"" "$dir/history.jsonl"
}
says "the judges accept what clients saw" [ "$status" = 0 ]
for fault in kill partition pause; do
	says "the history has a $fault, and answers after it" in_history "$fault"
done
[ "$status" = 0 ] || tail -n 20 "$dir"/n*.log | sed 's/^/# /'
echo "1..4"
