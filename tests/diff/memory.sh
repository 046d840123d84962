#!/bin/bash
# The commands in this process against redis-server: the cases, then random lines.
version=$(redis-server --version 2>/dev/null | sed -n 's/.* v=\([0-9]*\)\..*/\1/p')
if [ "${version:-7}" != 7 ]; then
	echo "ok 1 # SKIP redis-server is version $version here, and the promise is Redis 7"
	echo "1..1"
	exit 0
fi
exec "$TALLY_BUILD/tests/diff/diff" --random "${DIFF_LINES:-20000}" "${DIFF_SEED:-1}" "$TALLY_SRC"/tests/diff/cases/*.cases
