#!/usr/bin/perl
# Puts the causes of old bugs back, one line at a time, in a copy of the tree and its build, and sees the
# named test of each fail (docs/lineage.md). Rows to try as arguments; none: all. ./check soak runs it.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

my $src   = $ENV{TALLY_SRC}   // abs_path( dirname($0) . '/../..' );
my $build = $ENV{TALLY_BUILD} // "$src/build";
my %only  = map { $_ => 1 } @ARGV;

sub slurp {
	my ($path) = @_;
	open my $file, '<', $path or die "$path: $!\n";
	local $/ = undef;
	return scalar <$file>;
}

sub spew {
	my ( $path, $text ) = @_;
	open my $file, '>', $path or die "$path: $!\n";
	print {$file} $text;
	close $file or die "$path: $!\n";
	return;
}

sub read_changes {
	my @changes;
	for my $line ( split /\n/, slurp("$src/tests/scenario/lineage.changes") ) {
		if ( $line =~ /^= (\S+) (\S+) (\S+)$/ ) {
			push @changes, { row => $1, file => $2, program => $3 };
		} elsif ( $line =~ /^([~+-]) (.*)$/ ) {
			my ( $what, $text ) = ( { '~' => 'sentence', '-' => 'old', '+' => 'new' }->{$1}, $2 );
			$text =~ s/\\([nt])/$1 eq 'n' ? "\n" : "\t"/eg;
			$changes[-1]{$what} = $text;
		}
	}
	return @changes;
}

# The tree without its history and other builds; the build's own paths are relative.
sub copy_tree {
	my $to = tempdir( 'lineage-XXXXXX', TMPDIR => 1, CLEANUP => 1 );
	opendir my $dir, $src or die "$src: $!\n";
	my @names = grep { !/^(?:\.|\.\.|\.git|build.*|autom4te\.cache)$/ || $_ eq 'build-aux' } readdir $dir;
	closedir $dir;
	system( 'cp', '-a', ( map {"$src/$_"} @names ), $to ) == 0 or die "the tree cannot be copied\n";
	system( 'cp', '-a', $build, "$to/build" ) == 0 or die "the build cannot be copied\n";
	return $to;
}

sub make {
	my ( $to, $program ) = @_;
	my $target = $program =~ /\.pl$/ ? 'all' : $program;
	my $said   = `make -C '$to/build' -j2 $target 2>&1 </dev/null`;
	diag($said) if $? != 0;
	return $? == 0;
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
	my $name = "row $change->{row}, $change->{file}: \"$change->{sentence}\" fails";
	my $path = "$to/$change->{file}";
	my $text = slurp($path);
	my $at   = index $text, $change->{old};
	if ( $at < 0 || index( $text, $change->{old}, $at + 1 ) >= 0 ) {
		fail("$name: the line is not there, once");
		return;
	}
	my $changed = $text;
	substr $changed, $at, length $change->{old}, $change->{new};
	spew( $path, $changed );
	my $made = make( $to, $change->{program} );
	my $said = $made ? run( $to, $change->{program} ) : '';
	spew( $path, $text );
	ok( $made && $said =~ /^not ok \d+ - \Q$change->{sentence}\E/m, $name ) or diag($said);
	return;
}

if ( slurp("$build/Makefile") !~ /^top_srcdir = \.\.$/m ) {
	plan skip_all => 'the build is not in a folder of the tree: it cannot be moved with it';
}
my @changes = grep { !%only || $only{ $_->{row} } } read_changes();
my $to      = copy_tree();
my %programs = map { $_->{program} => 1 } @changes;
for my $program ( sort keys %programs ) {
	ok( make( $to, $program ) && run( $to, $program ) !~ /^not ok/m, "$program passes as it is" );
}
try_change( $to, $_ ) for @changes;
done_testing();
