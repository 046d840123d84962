#!/bin/bash
# The commands in this process against redis-server: the cases, then random lines.
exec "$TALLY_BUILD/tests/diff/diff" --random "${DIFF_LINES:-20000}" "${DIFF_SEED:-1}" "$TALLY_SRC"/tests/diff/cases/*.cases
