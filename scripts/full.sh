# Sourced by ./check for the tiers `full` and `soak`: what takes longer than a
# commit may wait. Each item counts as one passed or failed test, tells every minute
# how far it is, and how long it took. Two more builds are made while the quick tier's
# programs wait for each other (full_builds); then what measures runs alone, and the
# rest in four lanes side by side (full_tier). The soak's nemesis has lanes of its own inside of one of them.

FULL_LOGS=build/full
mkdir -p "$FULL_LOGS"
RESULTS=$FULL_LOGS/results # lines `pass NAME`, `fail NAME`, `skip NAME`; lanes are processes of their own
: >"$RESULTS"

how_far() { # name log
	say "$1: $(last_line "$2")"
}

item() { # name command...
	local name=$1 log=$FULL_LOGS/$1.log from status
	shift
	from=$(date +%s)
	step "$name: begins"
	"$@" >"$log" 2>&1 </dev/null &
	wait_telling "$!" 60 how_far "$name" "$log"
	status=$?
	if [ "$status" = 0 ]; then
		echo "pass $name" >>"$RESULTS"
		step "$name: passed in $(($(date +%s) - from)) s: $(last_line "$log")"
	elif [ "$status" = 77 ]; then
		echo "skip $name" >>"$RESULTS"
		say "  skipped: $name: $(last_line "$log")"
	else
		echo "fail $name" >>"$RESULTS"
		say "  FAILED: $name (status $status); the end of $log:"
		tail -n 20 "$log" | sed 's/^/    /'
	fi
}

# A bench whose JSON goes into the table of figures.
measure() { # name bench-words...
	local name=$1
	shift
	item "$name" sh -c '
		out=$1
		shift
		"$@" --json >"$out.new" && mv "$out.new" "$out" && cat "$out"' \
		sh "$FIGURES/$name.json" build/tally bench "$@" --local 3
}

count_items() {
	PASSED=$((PASSED + $(grep -c '^pass' "$RESULTS")))
	FAILED=$((FAILED + $(grep -c '^fail' "$RESULTS")))
	SKIPPED=$((SKIPPED + $(grep -c '^skip' "$RESULTS")))
	: >"$RESULTS"
	step "so far: $PASSED passed, $FAILED failed, $SKIPPED skipped"
}

# The rooms once more with clang, both sanitizers and libFuzzer's counters; of programs only the fuzz bodies.
build_fuzz() (
	mkdir -p build-fuzz || return 1
	programs=$(list build fuzz_programs)
	cd build-fuzz || return 1
	[ -e Makefile ] || ../configure --enable-fuzzer --enable-sanitize=address,undefined CC=clang || return 1
	# shellcheck disable=SC2086
	make -j"$(nproc)" $programs
)

# name seconds: the same body as in make check, under libFuzzer, which ends with 77 when it finds something: item's word for skipped.
fuzz() {
	local name=$1 seconds=$2
	mkdir -p "$FULL_LOGS/corpus-$name"
	"build-fuzz/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -error_exitcode=1 -max_len=65536 -rss_limit_mb=2048 -timeout=20 \
		-artifact_prefix="$FULL_LOGS/$name-" "$FULL_LOGS/corpus-$name" "tests/fuzz/corpus/$name"
}

# Two at a time.
fuzz_all() {
	local program name
	for program in $(list build fuzz_programs); do
		name=${program##*fuzz_}
		while [ "$(jobs -r -p | wc -l)" -ge 2 ]; do sleep 1; done
		item "fuzz-$name" fuzz "$name" "$FUZZ_S" &
	done
	wait
}

# In build: of the units those that have threads. Who starts none, and does not run on libuv, cannot race. Nor can whole
# nodes in the simulated environment (fleet), which runs all work in the one thread there is; what starts one there is
# RocksDB's. Fuzz bodies have one thread in any case, and the life of which each disk call fails takes half an hour here.
threaded_units() {
	local program
	for program in $(list . unit_programs | tr ' ' '\n' | grep -v -e tests/fuzz/ -e test_nth_disk); do
		if has_threads "$program"; then
			echo "$program"
		fi
	done
}

has_threads() { # program
	nm -u "$1" | grep -q ' uv_run$' || { nm -u "$1" | grep -q ' pthread_create' && ! nm "$1" | grep -q ' T fleet_init$'; }
}

# The rooms with races ending the process; of programs the server and these units.
build_tsan() (
	mkdir -p build-tsan || return 1
	programs=$(cd build && threaded_units | tr '\n' ' ')
	cd build-tsan || return 1
	[ -e Makefile ] || ../configure --enable-sanitize=thread || return 1
	# shellcheck disable=SC2086
	make -j"$(nproc)" tallyd $programs
)

# They and three nodes. A unit that was not built yet when build_tsan asked is built here.
thread_sanitizer() {
	build_tsan && make -C build-tsan -k check-TESTS \
		TESTS="$(cd build && threaded_units | tr '\n' ' ') tests/scenario/skeleton.pl tests/scenario/stop.pl"
}

# What judges the harness, and takes too long for the quick tier. Its results are counted behind the lanes.
harness() {
	find build/tests -name '*.trs' -delete
	make -C build -k check-TESTS TESTS="$(list build long_tests)"
}

# The whole tree with the other compiler; warnings are errors there too.
build_clang() (
	mkdir -p build-clang && cd build-clang || return 1
	[ -e Makefile ] || ../configure CC=clang || return 1
	make -j"$(nproc)" && make -j"$(nproc)" check TESTS=
)

# Nodes take ports of their own and the simulator none: the two disturb each other's speed only.
seeds() {
	build/sim --seeds "$SEEDS" --from "$(date +%s)" --jobs "$(nproc)"
}

# Everything that the calling (sub)shell starts from now on gives way to who is less nice.
nice_from_here() { renice -n "$1" "$BASHPID" >/dev/null; }

setup_packages clang libclang-rt-dev strace nbdkit libnbd-bin e2fsprogs

SEEDS=1000 FUZZ_S=30 KILLS=30 OVERLOAD_S=60 FLASH_S=60
if [ "$TIER" = soak ]; then
	SEEDS=30000 FUZZ_S=30 KILLS=100 OVERLOAD_S=60 FLASH_S=600
fi

# A check that ends early leaves nothing behind that builds.
# shellcheck disable=SC2046
trap 'kill $(descendants) 2>/dev/null' EXIT

# Begun before the quick tier's whole programs, which leave half of the machine idle.
full_builds() (
	nice_from_here 19
	item build-fuzz build_fuzz
	item build-tsan build_tsan
)

# Not the fuzz bodies: the sanitizers saw them, and the fuzzers go through the same corpus.
full_units() {
	# shellcheck disable=SC2046
	run_tests build "units as users have them" "$(nproc)" $(list build unit_programs | tr ' ' '\n' | grep -v tests/fuzz/)
}

# Nothing else runs. One filling of the cluster serves restarts after kill -9 and polite ones.
full_figures() {
	measure failover-kill failover --kills "$KILLS"
	measure failover-stop failover --mode stop --kills 10
	measure failover-transfer failover --mode transfer --kills 10
	measure failover-restart failover --mode restart --kills 9
	measure follower follower --seconds 10
	measure flash flash --seconds "$FLASH_S"
	measure overload-shops overload --shops --seconds "$OVERLOAD_S"
	measure overload overload --seconds "$OVERLOAD_S"
	measure restart restart --mib 1024 --both
	measure restart-replay restart --mib 256 --times 2 --tallyd "--memory=4GiB --memtable=1GiB --flush-bytes=1GiB"
	if [ "$TIER" = soak ]; then
		measure restart-large restart --mib 3072
	fi
}

# Who goes by the clock comes first: the nemesis judges silences and goodput, the tests of distcheck wait for elections.
# The fuzzers' seconds are the clock's too, and they take what it leaves, as does whatever computes. The seeds take what
# nobody wants; they are what can be cut anywhere, so both processors have work until the end.
full_lanes() {
	(
		item nemesis tests/nemesis/nemesis suite "$TIER" --json="$FIGURES/nemesis.json"
	) &
	(
		item powercut tests/nemesis/powercut --cuts 20
		item bitrot tests/nemesis/bitrot --files 180 --blocks 20 --json="$FIGURES/bitrot.json"
		if [ "$TIER" = soak ]; then
			item distcheck make -C build distcheck
			nice_from_here 10
			item build-clang build_clang
		else # what judges the tests
			nice_from_here 10
			item harness harness
			item teeth perl tests/sim/teeth.pl
			item lineage perl tests/scenario/lineage.pl
		fi
	) &
	(
		nice_from_here 10
		fuzz_all
		item thread-sanitizer thread_sanitizer
	) &
	(
		nice_from_here 19
		item seeds seeds
	) &
	wait
	[ "$TIER" = soak ] || count_results build # the harness's
}

full_tier() {
	full_units
	wait # for the builds
	count_items
	full_figures
	count_items
	full_lanes
	count_items
}
