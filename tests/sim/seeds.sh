#!/usr/bin/env bash
# The quick tier's seeds: each runs twice, in two processes with different memory, and the traces must be the same.
set -u
seeds=${SIM_SEEDS:-64}
from=${SIM_FROM:-1}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"${TALLY_BUILD:-.}/sim" --seeds "$seeds" --from "$from" --jobs "$(nproc)" --twice >"$out" 2>&1
number=0
while IFS= read -r line; do
	case "$line" in
	"ok seed "*)
		number=$((number + 1))
		rest=${line#ok seed }
		echo "ok $number - seed ${rest%% *}: nothing lost, nothing doubled, the same trace twice"
		;;
	"FAIL seed "*)
		number=$((number + 1))
		echo "not ok $number - ${line#FAIL }"
		;;
	*) echo "# ${line#\# }" ;;
	esac
done <"$out"
[ "$number" -gt 0 ] || { echo "not ok 1 - no seed ran"; number=1; }
echo "1..$number"
