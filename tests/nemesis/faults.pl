#!/usr/bin/perl
# Holds docs/faults.md against the tree: every row of the catalogue is there, with where it is thrown or why it is not,
# and every kind, file and sentence that a row names exists. Every kind has a row.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More;
use lib dirname( abs_path(__FILE__) ) . '/lib';

my $top = $ENV{TALLY_SRC} // abs_path( dirname( abs_path(__FILE__) ) . '/../..' );
use constant ROWS => 65;

sub slurp {
	my ($path) = @_;
	open my $in, '<', "$top/$path" or return;
	local $/;
	return scalar readline $in;
}

# As the nemesis itself loads them.
require Registry;
for my $file ( glob "$top/tests/nemesis/lib/Faults/*.pm" ) { require $file }
my %nemesis = map { $_ => 1 } Registry::fault_names();
my %sim;
for my $path (qw(host net disk people)) {
	$sim{$_} = 1 for slurp("tests/sim/nemesis_$path.c") =~ /^\t\{"([\w-]+)", \d+, \d+, \w+/mg;
}
ok( keys %nemesis > 40 && keys %sim > 40, 'the kinds are found: ' . keys(%nemesis) . ' of processes, ' . keys(%sim) . ' of the simulator' );

my %named;

# What is wrong with a reference between backticks, or nothing.
sub wrong {
	my ($text) = @_;
	if ( $text =~ /^(nemesis|sim) (\S+)$/ ) {
		$named{"$1 $2"} = 1;
		return ( $1 eq 'sim' ? $sim{$2} : $nemesis{$2} ) ? () : "no such kind: $text";
	}
	my ( $path, $sentence ) = $text =~ /^([\w.\/]+): "(.+)"$/ or return "no reference: $text";
	my $source = slurp($path) // return "no such file: $path";
	return index( $source, $sentence ) >= 0 ? () : "no such sentence in $path: $sentence";
}

my %rows;
for my $line ( split /\n/, slurp('docs/faults.md') // '' ) {
	my ( $number, @cells ) = $line =~ /^\| (\d+) \|(.*)\|$/ ? ( $1, split / \|(?: |$)/, $2, -1 ) : next;
	push @{ $rows{$number} }, \@cells;
}
for my $number ( 1 .. ROWS ) {
	my @all = @{ $rows{$number} // [] };
	my ( $fault, $real, $simulated ) = map { s/^ //r } @{ $all[0] // [] };
	my @wrong = @all == 1 ? () : scalar(@all) . ' rows';
	push @wrong, map { wrong($_) } join( ' ', @{ $all[0] // [] } ) =~ /`([^`]+)`/g;
	for my $where ( $real, $simulated ) {
		push @wrong, 'a place says neither where nor why not: ' . ( $where // '' )
			unless ( $where // '' ) =~ /`|^(?:none|open)\b|^every /;
	}
	ok( !@wrong, "row $number: " . ( $fault // 'is missing' ) ) or diag join "\n", @wrong;
}
is( join( ' ', grep { $_ < 1 || $_ > ROWS } sort keys %rows ), '', 'and no others' );
my @unnamed = grep { !$named{$_} } sort( ( map {"nemesis $_"} keys %nemesis ), map {"sim $_"} keys %sim );
is( join( ', ', @unnamed ), '', 'every kind is named in a row' );
my @open = grep { join( '|', @{ $rows{$_}[0] // [] } ) =~ /open:|\| ?open ?(?:\||$)/ } 1 .. ROWS;
diag 'rows with something open: ' . join ' ', @open;
done_testing;
