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

# Everything that still knows the run.
sub leftovers {
	my ($pid) = @_;
	my @left;
	push @left, map {"namespace $_"} grep {/^tn$pid-/} split /\s+/, `ip netns 2>&1`;
	for my $proc ( glob '/proc/[0-9]*' ) {
		my $words = slurp("$proc/cmdline") =~ tr/\0/ /r;
		push @left, "process $words" if $words =~ /\btn$pid-|\Q$dir\E/ || ( readlink("$proc/cwd") // '' ) =~ /^\Q$dir\E/;
	}
	push @left, map {"mount $_"} grep {/\Q$dir\E/} split /\n/, slurp('/proc/self/mounts');
	push @left, map {"loop $_"} grep {/\Q$dir\E/} map { slurp($_) } glob '/sys/block/loop*/loop/backing_file';
	push @left, map {"cgroup $_"} split /\n/, `find /sys/fs/cgroup -type d -name '*tn$pid*' 2>/dev/null`;
	push @left, map {"file $_"} glob "$dir/*";
	return @left;
}

# Interrupts a run some moments behind a line of its output; the run's pid and status.
sub interrupt {
	my ( $phase, $signal, $faults, $seconds, $later ) = @_;
	my $pid = open my $out, '-|' // die "$!\n";
	if ( !$pid ) {
		setpgrp;
		open STDERR, '>&', \*STDOUT;
		exec "$src/tests/nemesis/nemesis", 'run', '--nodes', 3, '--time', $seconds, '--faults', $faults or POSIX::_exit(127);
	}
	my $text = '';
	while ( my $line = <$out> ) {
		$text .= $line;
		last if $line =~ $phase;
	}
	sleep rand( $later // 0.3 );
	kill $signal, $signal eq 'INT' ? -$pid : $pid; # a terminal tells the whole group
	$text .= $_ while <$out>;
	close $out;
	return ( $pid, $? >> 8, $text );
}

# With as much to be undone as the machine can do.
my %possible = map { /^(\S+) (?!.*\(not here)/ ? ( $1 => 1 ) : () } split /^/, `'$src/tests/nemesis/nemesis' faults`;
my ( $some, $more ) = map { join ',', 'pause', grep { $possible{$_} } @{$_} } [qw(slow-net clock-back power)], [qw(reorder full)];
my @phases = (
	[ 'making the network',     qr/, seed /,        'TERM', $some, 9 ],
	[ 'starting the nodes',     qr/network stands/, 'INT',  $more, 9 ],
	[ 'before the first fault', qr/are at work/,    'TERM', $some, 9 ],
	[ 'under two faults',       qr/fault: pause/,   'TERM', $possible{'slow-net'} ? "slow-net+$some" : $some, 9 ],
	# At once: on an idle machine a third of a second is enough to converge and be judged.
	[ 'while nodes converge',   qr/have ended/,     'INT',  'kill', 8, 0.001 ],
);
for my $phase (@phases) {
	my ( $name, @how ) = @{$phase};
	my ( $pid, $status, $text ) = interrupt(@how);
	plan skip_all => ( split /\n/, $text )[-1] =~ s{^skipped: }{}r if $status == 77;
	my $interrupted = $text =~ /interrupted/;
	ok( $interrupted && $status == 1, "interrupted $name, it says so and fails" ) or diag "status $status\n$text";
	my @left = leftovers($pid);
	ok( !@left, "interrupted $name, it leaves nothing behind" ) or diag join "\n", @left;
}
done_testing;
