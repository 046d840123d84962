#!/usr/bin/env bash
# The quick tier's seeds: each runs twice, in two processes with different memory, and the traces must be the same.
# An eighth as many more damage most disks, so that the cluster may have to halt.
set -u
seeds=${SIM_SEEDS:-64}
from=${SIM_FROM:-1}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
number=0

# Runs sim with the arguments and turns what it prints into TAP. $1: what holds for a seed that is ok.
run() {
	holds=$1
	before=$number
	shift
	"${TALLY_BUILD:-.}/sim" --from "$from" --jobs "$(nproc)" "$@" >"$out" 2>&1
	while IFS= read -r line; do
		case "$line" in
		"ok seed "*)
			number=$((number + 1))
			rest=${line#ok seed }
			echo "ok $number - seed ${rest%% *}: $holds"
			;;
		"FAIL seed "*)
			number=$((number + 1))
			echo "not ok $number - ${line#FAIL }"
			;;
		*) echo "# ${line#\# }" ;;
		esac
	done <"$out"
	[ "$number" -gt "$before" ] || { number=$((number + 1)); echo "not ok $number - no seed ran"; }
}

run "nothing lost, nothing doubled, the same trace twice" --seeds "$seeds" --twice
run "with any disk damaged, it goes on or halts, and never lies" --seeds "$(((seeds + 7) / 8))" --halt
echo "1..$number"
