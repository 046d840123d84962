#!/usr/bin/perl
# The simulator's teeth: plants what must be found (teeth.changes) in a copy of the tree and its build, and runs
# seeds with the shipped fault rates until one fails. The tree stays as it is.
#   teeth.pl [--from SEED] [--most SEEDS] [NAME...]
use strict;
use warnings;

use File::Basename qw(dirname);
use Getopt::Long;
use lib dirname($0) . '/../scenario/lib';
use Plant;
use Test::More;

my ( $from, $most ) = ( int rand 2**31, 300 );
GetOptions( 'from=i' => \$from, 'most=i' => \$most ) or die "usage: teeth.pl [--from SEED] [--most SEEDS] [NAME...]\n";
my %only  = map { $_ => 1 } @ARGV;
my $plant = Plant->new;

# What children that have ended used.
sub cpu_seconds {
	my @used = times;
	return $used[2] + $used[3];
}

# The seed that failed and what is said of it; nothing when none did. Who did too little (void) does not count.
sub hunt {
	my ( $sim, $change ) = @_;
	my $others = 0; # failures that are not what was planted for; one is told
	for my $seed ( $from .. $from + $most - 1 ) {
		my $said = `'$sim' --from $seed --seeds 1 --quiet $change->{words} 2>/dev/null </dev/null`;
		my ($why) = $said =~ /^FAIL seed \d+ [^:]*: (.*)/m; # its figures, a colon, and why
		die "this cannot read what is said of a seed that failed: $said\n" if !defined $why && $said =~ /^FAIL/m;
		next if !defined $why || $why =~ /^void:/;
		return ( $seed, $why ) if $why =~ /$change->{sentence}/;
		diag("$change->{row}: seed $seed says something else: $why") if !$others++;
	}
	return;
}

sub try_change {
	my ( $to, $change ) = @_;
	my $name = "$change->{row} is found";
	my $fits = $plant->with_change( $change, sub {
		my $broken = $plant->make('sim');
		if ( defined $broken ) {
			fail("$name: it does not build");
			diag($broken);
			return;
		}
		my $begin = cpu_seconds();
		my ( $seed, $why ) = hunt( "$to/build/sim", $change );
		my $used = sprintf '%.0f s of CPU', cpu_seconds() - $begin;
		my $number = defined $seed ? $seed - $from + 1 : $most;
		ok( defined $seed, defined $seed ? "$name by seed $seed, number $number, $used" : "$name: none of $number seeds, $used" );
		diag("$change->{row}: $why") if defined $seed;
	} );
	fail("$name: the line is not there, once") if !$fits;
	return;
}

if ( defined( my $why = $plant->fixed ) ) {
	plan skip_all => $why;
}
my @changes = grep { !%only || $only{ $_->{row} } } $plant->read_changes('tests/sim/teeth.changes');
my %files   = map { $_->{file} => Plant::slurp("$plant->{src}/$_->{file}") } map { @{ $_->{hunks} } } @changes;
my $to      = $plant->copy_tree;
diag("seeds from $from on");
try_change( $to, $_ ) for @changes;
ok( !( grep { Plant::slurp("$plant->{src}/$_") ne $files{$_} } keys %files ), 'the tree is as it was' );
done_testing();
