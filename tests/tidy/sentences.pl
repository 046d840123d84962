#!/usr/bin/perl
# Holds what documents say of tests against the tests, as TAP: a sentence that docs/lineage.md or docs/musts.md names
# is printed by the program that it names it of, and every change that is planted to see a test fail finds its line, once.
# (docs/faults.md has tests/nemesis/faults.pl.) That a test does fail with its change, only a run shows: lineage.pl, teeth.pl.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More;
use lib dirname( abs_path(__FILE__) ) . '/../scenario/lib';
use Plant;

my $plant = Plant->new;
my $top   = $plant->{src};

# ---- what a source prints ----

my %literals; # path => its string literals; what a format fills in may be anything
sub literals {
	my ($path) = @_;
	return $literals{$path} if $literals{$path};
	my $text = Plant::slurp("$top/$path");
	if ( $path =~ /\.pl$/ ) {
		$text =~ s/^\s*#.*//mg;
		return $literals{$path} = [$text];
	}
	$text =~ s{/\*.*?\*/}{}gs;
	$text =~ s/"\s*\n\s*"//g; # one literal in several pieces
	my @found = $text =~ /"((?:[^"\\\n]|\\.)*)"/g;
	s/\\(.)/$1/g for @found;
	return $literals{$path} = \@found;
}

# Whether the source prints a sentence that begins so.
sub prints {
	my ( $path, $sentence ) = @_;
	for my $literal ( @{ literals($path) } ) {
		return 1 if $path =~ /\.pl$/ ? index( $literal, $sentence ) >= 0 : index( $literal, $sentence ) == 0;
		next     if $literal !~ /%/ || $literal =~ /^%\S*$/;
		my $pattern = join '.+', map {quotemeta} split /%[-+ #0-9.*]*(?:ll|z|l)?[a-zA-Z]/, $literal, -1;
		return 1 if $sentence =~ /^$pattern$/;
	}
	return 0;
}

# ---- the documents ----

# Of a cell: what is wrong, and its sentences. A name of a program holds until the next one; of two that share a
# sentence either may print it. *$last is the file of the row before, for "the same file".
sub references {
	my ( $cell, $last ) = @_;
	my ( @paths, @wrong, @sentences, $spoken );
	while ( $cell =~ m{(tests/[\w/]+\.(?:c|pl))|\b(test_\w+)|(the same file)|"([^"]+)"}g ) {
		my ( $path, $unit, $same, $sentence ) = ( $1, $2, $3, $4 );
		if ( !defined $sentence ) {
			@paths = () if $spoken;
			$spoken = 0;
			push @paths, $path // ( $same ? $$last : "tests/unit/$unit.c" );
			$$last = $paths[-1];
			push @wrong, "no such file: $$last" if !-e "$top/$$last";
			next;
		}
		$spoken = 1;
		push @sentences, [ $paths[-1], $sentence ];
		push @wrong, "not printed by @paths: $sentence" if !grep { -e "$top/$_" && prints( $_, $sentence ) } @paths;
	}
	return ( \@wrong, \@sentences );
}

# The rows of a document's tables that name tests: [line, cell].
sub rows {
	my ($document) = @_;
	my ( @rows, $number );
	for my $line ( split /\n/, Plant::slurp("$top/$document") ) {
		$number++;
		next if $line !~ /^\|/;
		my ($cell) = grep {m{(?:\btest_\w+|tests/[\w/]+\.(?:c|pl)|the same file).*?: "}} split /\|/, $line;
		push @rows, [ $number, $cell ] if defined $cell;
	}
	return @rows;
}

my %named; # document => its sentences
for my $document ( 'docs/lineage.md', 'docs/musts.md' ) {
	my $last;
	my @rows = rows($document);
	cmp_ok( scalar @rows, '>', 20, "$document: rows that name tests are found" );
	for my $row (@rows) {
		my ( $wrong, $sentences ) = references( $row->[1], \$last );
		ok( !@{$wrong}, "$document:$row->[0]: what it names is printed" ) or diag( join "\n", @{$wrong} );
		push @{ $named{$document} }, @{$sentences};
	}
}

# ---- the changes ----

# What keeps a change from being planted, or nothing.
sub misfit {
	my ($change) = @_;
	my %text;
	for my $hunk ( @{ $change->{hunks} } ) {
		return "$hunk->{file} is not there" if !-e "$top/$hunk->{file}";
		$text{ $hunk->{file} } //= Plant::slurp("$top/$hunk->{file}");
		$text{ $hunk->{file} } = Plant::planted( $text{ $hunk->{file} }, $hunk )
			// return "$hunk->{file} does not have this line, once: $hunk->{old}";
	}
	return;
}

my @lineage = $plant->read_changes('tests/scenario/lineage.changes');
for my $change ( @lineage, map { $plant->read_changes($_) } 'tests/scenario/musts.changes', 'tests/sim/teeth.changes' ) {
	is( misfit($change), undef, "the change of $change->{row} in $change->{hunks}[0]{file} finds its line" );
}

# As a run of the program prints it, and the sentence of the document that begins so.
sub told {
	my ($change) = @_;
	return grep { $_->[1] =~ /^\Q$change->{sentence}\E/ && $_->[0] eq $change->{program} =~ s/(?<!\.pl)$/.c/r } @{ $named{'docs/lineage.md'} };
}
my %changed = map { $_->[1] => 1 } map { told($_) } @lineage;
is( join( "\n", grep { !$changed{$_} } map { $_->[1] } @{ $named{'docs/lineage.md'} } ), '', 'no sentence of docs/lineage.md is without a change' );
is( join( "\n", map { $_->{sentence} } grep { !told($_) } @lineage ), '', 'and no change is without a sentence' );
done_testing();
