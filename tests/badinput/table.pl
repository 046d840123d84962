#!/usr/bin/env perl
# Holds rows.txt against the programs: every row of the table is there, and is either
# thrown by the program it names or says why it cannot be yet.
use strict;
use warnings;
use FindBin;
use Test::More;

my $last = 108;
open my $table, '<', "$FindBin::Bin/rows.txt" or die "rows.txt: $!";
my (%rows, %source);
while (<$table>) {
	chomp;
	next if /^#/ || $_ eq '';
	my ($number, $surface, $input, $expected, $where) = split / \| /, $_, 5;
	push @{ $rows{$number} }, [$surface, $input, $where // ''];
}
sub thrown {
	my ($program, $words) = $_[0] =~ m{^([\w/]+\.(?:pl|c|test)): (.+)$} or return 0;
	# A path is from the top of the tree.
	my $path = $program =~ m{/} ? "$FindBin::Bin/../../$program" : "$FindBin::Bin/$program";
	$source{$program} //= do { local $/; open my $f, '<', $path or die "$program: $!"; <$f> };
	return index($source{$program}, $words) >= 0;
}
my $later = 0;
for my $number (1 .. $last) {
	my $all = $rows{$number} // [];
	my @wrong = grep { $_->[2] !~ /^not yet: \S/ && !thrown($_->[2]) } @$all;
	my @not_yet = grep { $_->[2] =~ /^not yet/ } @$all;
	$later++ if @not_yet == @$all;
	diag "$number $_->[0], $_->[1]: $_->[2]" for @not_yet;
	ok(@$all && !@wrong, "row $number: " . join '; ', map { "$_->[1] ($_->[0])" } @$all) or diag map { "no such row: $_->[2]\n" } @wrong;
}
is(join(' ', grep { $_ !~ /^\d+$/ || $_ < 1 || $_ > $last } keys %rows), '', 'and no others');
diag sprintf '%d rows are thrown, %d cannot be yet', $last - $later, $later;
done_testing;
