#!/usr/bin/perl
# The report of a nemesis run, from a history made by hand: ten writes a second for ten
# seconds, but for what two faults took away.
use strict;
use warnings;
use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;
use lib ( $ENV{TALLY_SRC} // '.' ) . '/tests/nemesis/lib';
use World;
use Report;

my $dir = tempdir( CLEANUP => 1 );
%world = (
	dir => $dir, failures => [], load_began_us => 0, quiet_end_us => 2_500_000, load_end_us => 10_000_000,
	events => [
		{ kind => 'kill',      detail => 'n3', group => 1, began_us => 3_050_000, ended_us => 4_000_000 },
		{ kind => 'isolate',   detail => 'n2', group => 2, began_us => 3_060_000, ended_us => 4_500_000, row => { least => 90 } },
		{ kind => 'partition', detail => 'n1', group => 3, began_us => 6_040_000, ended_us => 8_000_000 },
		{ kind => 'pause',     detail => '',   group => 3, began_us => 6_060_000 },
	],
);
open my $out, '>', "$dir/history.jsonl" or die "$!\n";
sub line { my (%line) = @_; print $out JSON::PP->new->canonical->encode( \%line ), "\n"; return }
my $op = 0;
for my $tenth ( 1 .. 99 ) {
	my $at = $tenth * 100_000;
	line( op => ++$op, type => 'invoke', t_us => $at - 5000, f => 'write' );
	next if $at > 3_050_000 && $at < 4_000_000;    # no write for 0.95 s, from the kill on
	if ( $at == 7_000_000 ) { line( op => $op, type => 'info', f => 'write' ); next }
	line( op => $op, type => 'ok', t_us => $at, f => $tenth % 2 ? 'write' : 'cas' );
}
# Reads go on meanwhile: they end no silence.
line( op => ++$op, type => 'ok', t_us => $_, f => 'read' ) for 3_500_000, 3_600_000;
line( op => ++$op, type => 'ok', t_us => 3_700_000, f => 'txn', parts => [ { f => 'read', key => 1 } ] );
# A transaction says in its answer what it was made of; one with an append ends a silence.
line( op => ++$op, type => 'invoke', t_us => 6_050_000, f => 'txn' );
line( op => $op, type => 'ok', t_us => 6_070_000, f => 'txn', parts => [ { f => 'read', key => 1 }, { f => 'append', key => 2, value => 3 } ] );
close $out;

my $report = make_report( { workload => 'register', faults => 'kill,partition+pause', time => 10 } );
my $kill = $report->{faults}{kill};
is $kill->{next_max_ms}, 950, 'from a fault to the next acknowledged write, reads aside';
is $kill->{gap_p99_ms},  10,  'and the silence until the next fault, which begins in it';
is $report->{faults}{isolate}{gap_max_ms}, 940, 'who has the rest of it';
my $both = $report->{faults}{'partition+pause'};
is_deeply $both, { count => 1, next_max_ms => 30, next_p99_ms => 30, gap_max_ms => 200, gap_p99_ms => 200 },
	'faults that struck together are one, from the first of them to an append in a transaction; its longest silence came later';
is sprintf( '%.1f', $report->{quiet_per_s} ), '10.0', 'goodput of the quiet phase, without its first half second';
is sprintf( '%.2f', $report->{fire_per_s} ), sprintf( '%.2f', ( 75 - 9 - 1 + 4 ) / 7.5 ), 'goodput under faults, reads too';
is sprintf( '%.1f', $report->{struck_per_minute} ), '32.0', 'faults a minute of the phase that has them';
is $report->{unknown}, 1, 'what stayed unknown';
is $report->{operations}, 94, 'of all that ended or is unknown';

my $joined = join_reports( $report, $report );
is $joined->{faults}{kill}{count}, 2, 'the runs of a suite are counted together';

mark_history();
open my $in, '<', "$dir/history.jsonl" or die "$!\n";
my @lines = map { decode_json($_) } <$in>;
my @faults = grep { $lines[$_]{type} eq 'nemesis' } 0 .. $#lines;
is_deeply [ map {"$lines[$_]{fault} $lines[$_]{at}"} @faults ],
	[ 'kill begin', 'isolate begin', 'kill end', 'isolate end', 'partition begin', 'pause begin', 'partition end' ], 'the history tells the faults';
ok $lines[ $faults[0] - 1 ]{t_us} <= 3_050_000 && $lines[ $faults[0] + 2 ]{t_us} >= 3_050_000, 'at their place in time';

$world{events} = [];
open $out, '>', "$dir/history.jsonl" or die "$!\n";
line( op => 1, type => 'invoke', t_us => 10, f => 'write' );
close $out;
is make_report( { workload => 'register', time => 10 } )->{operations}, 0, 'a run without one answer has a report too';
like( join( ' ', @{ $world{failures} } ), qr/^isolate: \d\d %.*, and 90 must be$/, 'a kind during which too little was done fails the run, and no other' );
done_testing;
