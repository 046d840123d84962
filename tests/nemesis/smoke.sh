#!/usr/bin/env bash
# 25 s of a five-node cluster under kill, partition and pause, with registers.
out=$("$TALLY_SRC/tests/nemesis/nemesis" suite quick 2>&1)
status=$?
printf '%s\n' "$out" | sed 's/^/# /'
if [ "$status" = 77 ]; then
	echo "ok 1 # SKIP $(printf '%s\n' "$out" | tail -n 1)"
else
	[ "$status" = 0 ] && echo "ok 1 - the judges accept what clients saw" || echo "not ok 1 - the judges accept what clients saw"
	for fault in kill partition pause; do
		if printf '%s\n' "$out" | grep -q "fault: $fault"; then
			echo "ok - $fault happened"
		else
			echo "not ok - $fault happened"
		fi
	done
fi
[ "$status" = 77 ] && echo "1..1" || echo "1..4"
