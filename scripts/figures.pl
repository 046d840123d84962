#!/usr/bin/env perl
# The table at a tier's end: the figures that Tally promises, each with its goal,
# what was measured in this run, and whether that is enough.
#
#   scripts/figures.pl TIER [BUILD]     TIER: quick, full or soak; exit 1 when a figure misses its goal
#
# Programs that measure write one JSON object each into BUILD/figures/NAME.json:
# `tally bench … --json`, `nemesis … --json`, `sim --json`; tests are found in their
# logs. A figure nobody measured says why. The table goes to standard output and to BUILD/figures.json.
use strict;
use warnings;
use File::Basename qw(basename);
use JSON::PP;

my ($tier, $build) = @ARGV;
$tier  //= 'quick';
$build //= 'build';

# ---- what was measured ----

my %measured;
for my $path (sort glob "$build/figures/*.json") {
	open my $in, '<', $path or next;
	local $/;
	my $json = eval { decode_json(<$in> // '') };
	close $in;
	$measured{basename($path, '.json')} = $json if ref $json eq 'HASH';
}
my @nemeses = map { $measured{$_} } grep { /^nemesis/ } sort keys %measured;

# Results of a unit program whose sentence matches: (passed, failed).
sub sentences {
	my ($program, $pattern) = @_;
	my ($passed, $failed) = (0, 0);
	for my $path (map {"$_/tests/unit/$program.log"} $build, "$build-asan") {
		open my $in, '<', $path or next;
		while (my $line = <$in>) {
			$passed++ if $line =~ /^ok .*$pattern/;
			$failed++ if $line =~ /^not ok .*$pattern/;
		}
		close $in;
	}
	return ($passed, $failed);
}

# The longest silences that faults of these kinds caused, over all nemesis runs.
sub gaps {
	my ($kinds) = @_;
	my ($count, $most) = (0, 0);
	for my $run (@nemeses) {
		for my $kind (keys %{ $run->{faults} // {} }) {
			my $fault = $run->{faults}{$kind};
			next unless $kind =~ /^(?:$kinds)$/ && $fault->{count};
			$count += $fault->{count};
			$most = $fault->{gap_max_ms} if ($fault->{gap_max_ms} // 0) > $most;
		}
	}
	return ($count, $most);
}

# ---- figures: what was seen and whether it is enough, or nothing ----

sub series { # of a bench failover
	my ($name, $median, $max) = @_;
	my $d = $measured{$name} or return;
	return ("n $d->{n}, median $d->{median_ms}, p99 $d->{p99_ms}, max $d->{max_ms} ms",
		$d->{max_ms} <= $max && (!$median || $d->{median_ms} <= $median));
}

sub silence {
	my ($kinds, $max) = @_;
	my ($count, $most) = gaps($kinds);
	return if !$count;
	return ("n $count, max $most ms", $most <= $max);
}

sub lost {
	my ($lost, $acknowledged, @seen) = (0, 0);
	for my $name (sort keys %measured) {
		my $json = $measured{$name};
		next if !defined $json->{lost};
		$lost += $json->{lost};
		$acknowledged += $json->{acknowledged} // $json->{sold} // 0;
		push @seen, $name;
	}
	my ($runs, $broken) = (0, 0);
	for my $run (map { @{ $_->{runs} // [$_] } } @nemeses) {
		$runs++;
		$broken++ if @{ $run->{failures} // [] };
	}
	my $cuts = power_cuts();
	return if !@seen && !$runs;
	my $text = "$lost of $acknowledged read back";
	$text .= sprintf ', %d of %d nemesis runs accepted', $runs - $broken, $runs if $runs;
	$text .= ", all nodes without power $cuts times" if $cuts;
	return ($text, $lost == 0 && $broken == 0);
}

# As tests/nemesis/powercut says when every one was survived.
sub power_cuts {
	open my $in, '<', "$build/full/powercut.log" or return 0;
	my ($cuts) = map { /all nodes lost power (\d+) times/ } <$in>;
	close $in;
	return $cuts // 0;
}

sub resolved {
	my $sale = $measured{sale} or return;
	return ('no outcome was unknown', 1) if !$sale->{were_unknown};
	return ("$sale->{resolved} of $sale->{were_unknown}", $sale->{resolved} == $sale->{were_unknown});
}

sub restart { # how: nothing for kill -9, clean_ for a polite stop
	my ($how, $max) = @_;
	my $json = $measured{restart} or return;
	my ($most, $all) = @$json{ map {"$how$_"} qw(max_ms ms) };
	return if !$all;
	return ("$most ms with $json->{mib} MiB, n " . @$all, $most <= $max);
}

sub per_gib {
	my ($small, $large) = @measured{qw(restart restart-large)};
	return if !$small || !$large || $large->{mib} <= $small->{mib};
	my $ms = ($large->{max_ms} - $small->{max_ms}) * 1024 / ($large->{mib} - $small->{mib});
	return (sprintf('%.0f ms/GiB, %d against %d MiB', $ms, $large->{mib}, $small->{mib}), $ms <= 1000);
}

# A lower bound: the time has an election in it.
sub replay {
	my $json = $measured{'restart-replay'} or return;
	my $rate = $json->{mib} * 1.048576 * 1000 / ($json->{max_ms} || 1);
	return (sprintf('at least %.0f MB/s, %d MiB and an election in %d ms', $rate, $json->{mib}, $json->{max_ms}), $rate >= 100);
}

sub flips {
	my ($passed, $failed) = (0, 0);
	for my $program (qw(test_wal_rot test_wal_sim test_replica_open)) {
		my ($p, $f) = sentences($program, 'flipped bit');
		$passed += $p;
		$failed += $f;
	}
	my $text = "$passed of " . ($passed + $failed) . ' exhaustive tests of log and term files';
	my $rot = $measured{bitrot};
	$text .= ", $rot->{reported} of $rot->{flipped} files at rest, $rot->{wrong_reads} wrong reads" if $rot;
	return if $passed + $failed == 0 && !$rot;
	return ($text, $failed == 0 && (!$rot || ($rot->{reported} == $rot->{flipped} && !$rot->{wrong_reads})));
}

my $full = 'measured in full and soak';

# The goals are the same whoever asks.
sub overload {
	my ($title, $json) = @_;
	my ($p50, $p99, $accepted) = map { $json ? $json->{$_} / 1000 : 0 } qw(refused_p50_us refused_p99_us accepted_p99_us);
	my @seen = !$json ? () : (
		["$json->{goodput_percent} %, $json->{seconds} s", $json->{goodput_percent} >= 80],
		[sprintf('p99 %.0f ms', $accepted), $accepted <= 250],
		[sprintf('p50 %.1f, p99 %.1f ms', $p50, $p99), $p99 <= 5],
		[$json->{back_ms} < 0 ? 'not seen' : "$json->{back_ms} ms", $json->{back_ms} >= 0 && $json->{back_ms} <= 5000],
		[$json->{elections}, $json->{elections} == 0]);
	my @goals = ([$title, 'goodput >= 80 %'], ['- accepted', 'p99 <= 250 ms'], ['- refusals answered', '<= 5 ms'],
		['- back to >= 95 % of normal', '<= 5000 ms'], ['- leader changes caused', '0']);
	return map { [@{ $goals[$_] }, $seen[$_] // [], $full] } 0 .. $#goals;
}

my $flash    = $measured{flash};
my $follower = $measured{follower};

my @table = (
	['kill -9 of the leader to the next write', 'median <= 700, max <= 2000 ms', [series('failover-kill', 700, 2000)], $full],
	['SIGSTOP of the leader', 'max <= 2500 ms', [series('failover-stop', 0, 2500)], $full],
	['leader cut off, blind or deaf', 'max <= 2500 ms', [silence('isolate|oneway|blind', 2500)], $full],
	['disk stall of the leader', 'max <= 3000 ms', [silence('slowdisk|stall', 3000)], $full],
	['planned transfer', 'max gap <= 150 ms', [series('failover-transfer', 0, 150)], $full],
	['rolling restart', 'max gap <= 150 ms', [series('failover-restart', 0, 150)], $full],
	['follower lost', 'p99 <= 2 x, rate >= 90 %',
		[$follower ? ("p99 $follower->{p99_percent} %, rate $follower->{rate_percent} %",
			$follower->{p99_percent} <= 200 && $follower->{rate_percent} >= 90) : ()], $full],
	['leader changes without faults, full load', '0', [$flash ? ("$flash->{elections} in $flash->{seconds} s", $flash->{elections} == 0) : ()], $full],
	['acknowledged writes lost (RPO)', '0', [lost()], $full],
	['unknown outcomes resolved by the same id', '100 %', [resolved()], $full],
	overload('10 x offered load, through libtally', $measured{'overload-shops'}),
	overload('10 x offered load, clients that hold nothing back', $measured{overload}),
	['restart, clean', '<= 1000 ms with 1 GiB', [restart('clean_', 1000)], $full],
	['restart, kill -9', '<= 3000 ms with 1 GiB', [restart('', 3000)], $full],
	['recovery beyond 1 GiB', '<= 1000 ms/GiB', [per_gib()], 'measured in soak'],
	['log replay', '>= 100 MB/s', [replay()], $full],
	['snapshot catch-up of an empty node', '>= 80 MB/s', [], 'snapshots come later'],
	['memory under load', '<= budget + 10 %',
		[$flash && $flash->{budget_mib} ? ("$flash->{rss_max_mib} of $flash->{budget_mib} MiB, $flash->{seconds} s",
			$flash->{rss_max_mib} * 10 <= $flash->{budget_mib} * 11) : ()], $full],
	['memory drift in 24 h; 4 GiB in a cgroup of 512 MiB', '<= 2 %; works', [], 'no tier runs for a day, none makes a cgroup'],
	['open files, tables apart', '<= connections + 256',
		[$flash ? ("$flash->{files_max} with $flash->{connections} connections", $flash->{files_max} <= $flash->{connections} + 256) : ()], $full],
	['scrub', '>= 200 MB/s', [], 'scrubbing comes later'],
	['bit flips reported, none read as data', '100 %', [flips()], 'the tests did not run'],
);

# ---- the table ----

my ($missed, @rows) = (0);
for my $row (@table) {
	my ($figure, $goal, $seen, $reason) = @$row;
	$reason = 'its item gave no figures' if $tier ne 'quick' && $reason eq $full;
	my $verdict = !@$seen ? "not measured: $reason" : $seen->[1] ? 'pass' : 'MISS';
	$missed++ if $verdict eq 'MISS';
	push @rows, { figure => $figure, goal => $goal, value => @$seen ? $seen->[0] : undef, verdict => $verdict };
}
my @widths = (0, 0);
for my $row (@rows) {
	$widths[0] = length $row->{figure} if length $row->{figure} > $widths[0];
	$widths[1] = length $row->{goal}   if length $row->{goal} > $widths[1];
}
printf "\n%-*s  %-*s  %s\n", $widths[0], 'figure', $widths[1], 'goal', 'seen in this run';
for my $row (@rows) {
	printf "%-*s  %-*s  %s\n", $widths[0], $row->{figure}, $widths[1], $row->{goal},
		defined $row->{value} ? "$row->{verdict}  $row->{value}" : $row->{verdict};
}
print "Figures of a busy machine are no verdict: a miss fails the tiers full and soak only.\n" if $missed && $tier eq 'quick';
print "\n";

if (open my $out, '>', "$build/figures.json") {
	print $out JSON::PP->new->canonical->pretty->encode({ tier => $tier, figures => \@rows });
	close $out;
}
exit($missed && $tier ne 'quick' ? 1 : 0);
