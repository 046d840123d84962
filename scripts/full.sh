# Sourced by ./check for the tiers `full` and `soak`: what takes longer than a
# commit may wait. Each item counts as one passed or failed test.

FULL_LOGS=build/full
mkdir -p "$FULL_LOGS"

item() { # name command...
	local name=$1
	shift
	step "$name"
	if "$@" >"$FULL_LOGS/$name.log" 2>&1 </dev/null; then
		PASSED=$((PASSED + 1))
		tail -n 1 "$FULL_LOGS/$name.log" | sed 's/^/    /'
	else
		FAILED=$((FAILED + 1))
		say "  FAILED: $name; the end of $FULL_LOGS/$name.log:"
		tail -n 20 "$FULL_LOGS/$name.log" | sed 's/^/    /'
	fi
}

# The rooms once more with clang, both sanitizers and libFuzzer's counters; only the fuzz bodies are linked.
build_fuzz() (
	mkdir -p build-fuzz && cd build-fuzz || return 1
	[ -e Makefile ] || ../configure --enable-fuzzer --enable-sanitize=address,undefined CC=clang || return 1
	# shellcheck disable=SC2046
	make -j"$(nproc)" $(make -s print-fuzz_programs)
)

fuzz() { # name seconds: the same body as in make check, under libFuzzer
	local name=$1 seconds=$2
	mkdir -p "$FULL_LOGS/corpus-$name"
	"build-fuzz/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 -timeout=20 \
		-artifact_prefix="$FULL_LOGS/$name-" "$FULL_LOGS/corpus-$name" "tests/fuzz/corpus/$name"
}

setup_packages clang libclang-rt-dev valgrind strace iproute2 nftables

SEEDS=1000 NEMESIS=full FUZZ_S=30 KILLS=30
if [ "$TIER" = soak ]; then
	SEEDS=30000 NEMESIS=soak FUZZ_S=3600 KILLS=200
fi

item seeds build/sim --seeds "$SEEDS" --from "$(date +%s)" --jobs "$(nproc)"
item build-fuzz build_fuzz
for program in $(list build fuzz_programs); do
	name=${program##*fuzz_}
	item "fuzz-$name" fuzz "$name" "$FUZZ_S"
done
item failover build/tally bench failover --local 3 --kills "$KILLS"
item restart build/tally bench restart --local 3 --mib 1024
item nemesis tests/nemesis/nemesis suite "$NEMESIS"

setup_build build-tsan --enable-sanitize=thread
# shellcheck disable=SC2046
run_tests build-tsan "units and three nodes under the thread sanitizer" 1 $(list build-tsan unit_programs) \
	tests/scenario/skeleton.pl tests/scenario/stop.pl

item valgrind make -C build check-valgrind
item distcheck make -C build distcheck
