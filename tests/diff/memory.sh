#!/bin/bash
# The commands in this process against redis-server.
exec "$TALLY_BUILD/tests/diff/diff" "$TALLY_SRC"/tests/diff/cases/*.cases
