#!/usr/bin/env perl
# SIGKILL at a point of the code: the Nth call of a kind that a thread of a node makes, at its first start, at a later
# one, while it serves, flushes and trims. strace strikes. After each the node starts, and has all that it acknowledged.
#
#   points.pl [CALL...]
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cluster;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

use constant { LIFE_WRITES => 40, VALUE => 'v' x 2000 };

system('strace -qq -o /dev/null true >/dev/null 2>&1') == 0 or plan skip_all => 'strace is missing, or may trace nobody here';

my @calls = @ARGV ? @ARGV : qw(openat mkdir pwrite64 write fdatasync fsync fallocate ftruncate rename unlink pread64 sync_file_range);
my @points = (1, 2, 3, 5, 8, 12, 18, 27, 40, 60, 90);

# Small everything: a life has flushes, new segments and trims.
package Small;
our @ISA = ('Cluster');
sub arguments { return map { $_ eq '4MiB' ? '64KiB' : $_ } Cluster::arguments(@_) }
package main;

my @small = qw(--keep 128KiB --flush-bytes 64KiB --memtable 1MiB);

# The node under strace, which stands aside: the process is the node's.
sub start_struck {
	my ($c, $call, $n) = @_;
	my @strace = (qw(strace -D -qq -f -o /dev/null -e), "trace=$call", '-e', "inject=$call:signal=KILL:when=$n");
	$c->{pid}{1} = Cluster::spawn($c->logfile(1), @strace, Cluster::binary(), $c->arguments(1));
}

# Writes until it is dead, or the life is over. True when the point was met.
sub live {
	my ($c) = @_;
	my $client;
	for my $i (1 .. LIFE_WRITES) {
		my $key = 'k' . $i % 7;
		my $value = ++$c->{writes} . VALUE;
		my $answer;
		my $end = time + $Cluster::WAIT_S;
		while (1) {
			if ($c->reap(1)) {
				note "ended with $c->{status}{1}" if $c->{status}{1} != 9;
				return $c->{status}{1} == 9;
			}
			$client //= eval { $c->client(1, timeout => 5) };
			$answer = $client && eval { $client->cmd('SET', $key, $value) };
			last if defined $answer && $answer eq 'OK';
			undef $client if !defined $answer;
			return 0 if time > $end;
			select undef, undef, undef, 0.02;
		}
		$c->{told}{$key} = $c->{writes};
	}
	return 0;
}

# After a start that nobody disturbs: each key holds what was acknowledged, or something later.
sub holds {
	my ($c) = @_;
	if (!eval { $c->start(1); 1 }) {
		diag $@;
		return 0;
	}
	$c->leader;
	my $client = $c->client(1);
	for my $key (sort keys %{ $c->{told} // {} }) {
		my $value = $client->cmd('GET', $key) // '';
		my ($number) = $value =~ /^(\d+)v+$/;
		return 0 if !$number || $number < $c->{told}{$key} || length($value) != length($number . VALUE);
	}
	return 1;
}

my $all = 0;
my $old = Small->new(nodes => 1, flags => \@small); # has had many lives
for my $call (@calls) {
	my ($met, @wrong) = (0);
	for my $n (@points) {
		for my $c (Small->new(nodes => 1, flags => \@small), $old) {
			start_struck($c, $call, $n);
			my $struck = live($c);
			$met += $struck;
			$c->kill9(1) if !$struck;
			push @wrong, "$call $n" . ($c == $old ? ' of a later life' : ' of the first life') if !holds($c);
			$c->kill9(1) if $c->pid(1);
		}
	}
	$all += $met;
	ok($met && !@wrong, "a node that was killed in $call, at $met of its calls, starts and has all that it acknowledged")
		or diag "killed at: @wrong";
}
cmp_ok($all, '>=', 40, "$all points were met") if !@ARGV;
done_testing;
