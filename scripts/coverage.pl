#!/usr/bin/perl
# `make coverage`: how many lines of each room ran so far, in a build made with --enable-coverage.
#   scripts/coverage.pl BUILD-DIR [GCOV]     e.g. after `make check`
# Adds up what gcov says of the .c files. A node that was killed has told nothing.
use strict;
use warnings;

my ( $build, @gcov ) = @ARGV;
die "usage: coverage.pl BUILD-DIR [GCOV]\n" unless defined $build && -d $build;
@gcov = ('gcov') unless @gcov;
chdir $build or die "$build: $!\n";

chomp( my @notes = sort `find src raft client -path client/examples -prune -o -name '*.gcno' -print 2>/dev/null` );
die "no counters: configure with --enable-coverage, build, run tests\n" unless @notes;

my ( %lines, %ran, $room );
# Of each file that never ran gcov says so on standard error; the table says it too.
open( my $told, '-|', "@gcov -n @notes 2>/dev/null" ) or die "$gcov[0]: $!\n";
while (<$told>) {
	if (m{^File '(.*)'}) {
		# Headers are counted with each file that includes them.
		$room = $1 =~ m{\b((?:src/\w+|raft|client)(?:/\w+)*)/\w+\.c$} ? $1 : undef;
	} elsif ( defined $room && /^Lines executed:([0-9.]+)% of (\d+)/ ) {
		$lines{$room} += $2;
		$ran{$room}   += $1 * $2 / 100;
		undef $room;
	}
}
close $told or die "$gcov[0] failed\n";
die "$gcov[0] tells of no file: is it the compiler's own? (GCOV=\"llvm-cov gcov\" for clang)\n" unless %lines;

my ( $lines, $ran ) = ( 0, 0 );
printf "%-20s %7s %7s %6s\n", 'room', 'lines', 'ran', '%';
for ( sort keys %lines ) {
	printf "%-20s %7d %7.0f %6.1f\n", $_, $lines{$_}, $ran{$_}, 100 * $ran{$_} / $lines{$_};
	$lines += $lines{$_};
	$ran   += $ran{$_};
}
printf "%-20s %7d %7.0f %6.1f\n", 'all', $lines, $ran, 100 * $ran / $lines;
