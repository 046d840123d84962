#!/usr/bin/perl
# A nemesis that is interrupted, in whatever it is doing, leaves nothing behind:
# no process, no namespace, no mount, no cgroup, no file.
use strict;
use warnings;
use File::Temp qw(tempdir);
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(sleep time);

my $src = $ENV{TALLY_SRC} // '.';
my $dir = tempdir( CLEANUP => 1, DIR => $ENV{TMPDIR} // '/var/tmp' );
$ENV{TMPDIR} = $dir;

sub slurp { my ($path) = @_; local $/; open my $in, '<', $path or return ''; return <$in> // '' }

# Everything that still knows the run, or one of a suite's.
sub leftovers {
	my (@pids) = @_;
	my $any = join '|', @pids;
	my @left;
	push @left, map {"namespace $_"} grep {/^tn(?:$any)-/} split /\s+/, `ip netns 2>&1`;
	for my $proc ( glob '/proc/[0-9]*' ) {
		my $words = slurp("$proc/cmdline") =~ tr/\0/ /r;
		push @left, "process $words" if $words =~ /\btn(?:$any)-|\Q$dir\E/ || ( readlink("$proc/cwd") // '' ) =~ /^\Q$dir\E/;
	}
	push @left, map {"mount $_"} grep {/\Q$dir\E/} split /\n/, slurp('/proc/self/mounts');
	push @left, map {"loop $_"} grep {/\Q$dir\E/} map { slurp($_) } glob '/sys/block/loop*/loop/backing_file';
	push @left, map {"cgroup $_"} grep {m{/tally-(?:$any)-n\d+$}} split /\n/, `find /sys/fs/cgroup -type d -name 'tally-*' 2>/dev/null`;
	push @left, map {"file $_"} split /\n/, `find '$dir' -mindepth 1 | head -n 40`;
	return @left;
}

sub children { my ($pid) = @_; return map { slurp($_) =~ /^(\d+) .*\) \S $pid / ? $1 : () } glob '/proc/[0-9]*/stat' }

# Interrupts a nemesis some moments behind a line of its output: its status, what it said, its pid and its children's.
sub interrupt {
	my ( $phase, $signal, $words, $least, $later ) = @_;
	my $pid = open my $out, '-|' // die "$!\n";
	if ( !$pid ) {
		setpgrp;
		open STDERR, '>&', \*STDOUT;
		exec "$src/tests/nemesis/nemesis", split( / /, $words ), '--nodes', 3 or POSIX::_exit(127);
	}
	my $text = '';
	while ( my $line = <$out> ) {
		$text .= $line;
		last if $line =~ $phase;
	}
	sleep( ( $least // 0 ) + rand( $later // 0.3 ) );
	my @pids = ( $pid, children($pid) );
	kill $signal, $signal eq 'INT' ? -$pid : $pid; # a terminal tells the whole group
	$text .= $_ while <$out>;
	close $out;
	return ( $? >> 8, $text, @pids );
}

# With as much to be undone as the machine can do.
my %possible = map { /^(\S+) (?!.*\(not here)/ ? ( $1 => 1 ) : () } split /^/, `'$src/tests/nemesis/nemesis' faults`;
my ( $some, $more ) = map { join ',', 'pause', grep { $possible{$_} } @{$_} } [qw(slow-net clock-back power starve)], [qw(reorder full)];
my $run = 'run --time 9 --faults';
my @phases = (
	[ 'making the network',     qr/, seed /,        'TERM', "$run $some" ],
	[ 'starting the nodes',     qr/network stands/, 'INT',  "$run $more" ],
	[ 'before the first fault', qr/are at work/,    'TERM', "$run $some" ],
	[ 'under two faults',       qr/fault: pause/,   'TERM', $possible{'slow-net'} ? "$run slow-net+$some" : "$run $some" ],
	# At once: on an idle machine a third of a second is enough to converge and be judged.
	[ 'while nodes converge',   qr/have ended/,     'INT',  'run --time 8 --faults kill', 0, 0.001 ],
	# Some of them, in whatever each is doing.
	[ 'in all lanes of a suite, by a terminal', qr/side by side/, 'INT',  'suite soak --lanes 4', 3, 4 ],
	[ 'in all lanes of a suite, by name',       qr/side by side/, 'TERM', 'suite soak --lanes 4', 3, 4 ],
);
for my $phase (@phases) {
	my ( $name, @how ) = @{$phase};
	my ( $status, $text, @pids ) = interrupt(@how);
	plan skip_all => ( split /\n/, $text )[-1] =~ s{^skipped: }{}r if $status == 77;
	my $interrupted = $text =~ /interrupted/;
	ok( $interrupted && $status == 1, "interrupted $name, it says so and fails" ) or diag "status $status\n$text";
	my @left = leftovers(@pids);
	ok( !@left, "interrupted $name, it leaves nothing behind" ) or diag join "\n", @left;
}

# The terminal's word and the suite's, at once and when the first was heard already.
my $twice = <<'PERL';
use World;
undo( "a trace", sub { say_line("undone") } );
END { kill "TERM", $$; kill "INT", $$ } # runs before that of World
World::guarded( sub { kill "INT", $$; kill "TERM", $$ } );
PERL
like `'$^X' -I'$src/tests/nemesis/lib' -e '$twice' 2>&1`, qr/interrupted\n.* undone\n$/, 'told twice, it undoes what it made';
done_testing;
