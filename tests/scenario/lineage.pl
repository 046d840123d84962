#!/usr/bin/perl
# Puts the causes of old bugs back, one line at a time, in a copy of the tree and its build, and sees the
# named test of each fail (docs/lineage.md); the same for the musts of the raft driver (docs/musts.md).
# Rows to try as arguments; none: all. ./check full runs it.
use strict;
use warnings;

use File::Basename qw(dirname);
use lib dirname($0) . '/lib';
use Plant;
use Test::More;

my $plant = Plant->new;
my %only  = map { $_ => 1 } @ARGV;

sub make {
	my ($program) = @_;
	my $said = $plant->make( $program =~ /\.pl$/ ? 'all' : $program );
	diag($said) if defined $said;
	return !defined $said;
}

sub run {
	my ( $to, $program ) = @_;
	local $ENV{TALLY_SRC}   = $to;
	local $ENV{TALLY_BUILD} = "$to/build";
	my $command = $program =~ /\.pl$/ ? "perl '$to/$program'" : "'$to/build/$program'";
	return `cd '$to/build' && timeout -k 10 300 $command 2>/dev/null </dev/null`;
}

sub try_change {
	my ( $to, $change ) = @_;
	my $name = "row $change->{row}, $change->{hunks}[0]{file}: \"$change->{sentence}\" fails";
	my $fits = $plant->with_change( $change, sub {
		my $made = make( $change->{program} );
		my $said = $made ? run( $to, $change->{program} ) : '';
		ok( $made && $said =~ /^not ok \d+ - \Q$change->{sentence}\E/m, $name ) or diag($said);
	} );
	fail("$name: the line is not there, once") if !$fits;
	return;
}

if ( defined( my $why = $plant->fixed ) ) {
	plan skip_all => $why;
}
my @changes  = grep { !%only || $only{ $_->{row} } } map { $plant->read_changes("tests/scenario/$_.changes") } qw(lineage musts);
my $to       = $plant->copy_tree;
my %programs = map { $_->{program} => 1 } @changes;
for my $program ( sort keys %programs ) {
	ok( make($program) && run( $to, $program ) !~ /^not ok/m, "$program passes as it is" );
}
try_change( $to, $_ ) for @changes;
done_testing();
