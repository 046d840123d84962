# Plants changes in a copy of the tree and builds there: what lineage.pl and tests/sim/teeth.pl do to see red.
# A file of changes has, one after the other:
#   = name, file to change, program, words for it
#   ~ what is expected of the run
#   - what stands in the file, once (\n and \t as in C)
#   + what is put there
#   @ another file, or another place of the same one, that belongs to the change; then again - and +
package Plant;
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);

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

sub new {
	my ($class) = @_;
	my $src = $ENV{TALLY_SRC} // abs_path( dirname(__FILE__) . '/../../..' );
	return bless { src => $src, build => $ENV{TALLY_BUILD} // "$src/build" }, $class;
}

# Each: row, program, words, sentence, hunks of file, old, new.
sub read_changes {
	my ( $self, $file ) = @_;
	my @changes;
	for my $line ( split /\n/, slurp("$self->{src}/$file") ) {
		if ( $line =~ /^= (\S+) (\S+) (\S+)(?: (.+))?$/ ) {
			push @changes, { row => $1, program => $3, words => $4 // '', hunks => [ { file => $2 } ] };
		} elsif ( $line =~ /^@ (\S+)$/ ) {
			push @{ $changes[-1]{hunks} }, { file => $1 };
		} elsif ( $line =~ /^~ (.*)$/ ) {
			$changes[-1]{sentence} = $1;
		} elsif ( $line =~ /^([+-]) (.*)$/ ) {
			my ( $what, $text ) = ( { '-' => 'old', '+' => 'new' }->{$1}, $2 );
			$text =~ s/\\([nt])/$1 eq 'n' ? "\n" : "\t"/eg;
			$changes[-1]{hunks}[-1]{$what} = $text;
		}
	}
	return @changes;
}

# Why the build cannot be moved with the tree, or undef.
sub fixed {
	my ($self) = @_;
	return if slurp("$self->{build}/Makefile") =~ /^top_srcdir = \.\.$/m;
	return 'the build is not in a folder of the tree: it cannot be moved with it';
}

# The tree without its history and other builds; the build's own paths are relative.
sub copy_tree {
	my ($self) = @_;
	my $to = $self->{to} = tempdir( TMPDIR => 1, CLEANUP => 1 );
	opendir my $dir, $self->{src} or die "$self->{src}: $!\n";
	my @names = grep { !/^(?:\.|\.\.|\.git|build.*|autom4te\.cache)$/ || $_ eq 'build-aux' } readdir $dir;
	closedir $dir;
	system( 'cp', '-a', ( map {"$self->{src}/$_"} @names ), $to ) == 0 or die "the tree cannot be copied\n";
	# But for full/, where fuzzers make and remove files at the same time.
	my @built = grep { $_ ne "$self->{build}/full" } glob "$self->{build}/*";
	mkdir "$to/build" or die "$to/build: $!\n";
	system( 'cp', '-a', @built, "$to/build" ) == 0 or die "the build cannot be copied\n";
	return $to;
}

# What make said if it failed; undef when all is well.
sub make {
	my ( $self, $target ) = @_;
	my $said = `make -C '$self->{to}/build' -j2 $target 2>&1 </dev/null`;
	return $? == 0 ? undef : $said;
}

# The file with the hunk in it, or undef: the line is not there, once.
sub planted {
	my ( $text, $hunk ) = @_;
	my $at = index $text, $hunk->{old};
	return if $at < 0 || index( $text, $hunk->{old}, $at + 1 ) >= 0;
	substr $text, $at, length $hunk->{old}, $hunk->{new};
	return $text;
}

# Plants a change, calls body, and takes the change out again. False, and body is not called: it finds no place.
sub with_change {
	my ( $self, $change, $body ) = @_;
	my ( %before, $fits );
	for my $hunk ( @{ $change->{hunks} } ) {
		my $path = "$self->{to}/$hunk->{file}";
		my $text = slurp($path);
		$before{$path} //= $text;
		my $changed = planted( $text, $hunk );
		$fits = defined $changed or last;
		spew( $path, $changed );
	}
	$body->() if $fits;
	spew( $_, $before{$_} ) for keys %before;
	return $fits;
}

1;
