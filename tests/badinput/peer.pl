#!/usr/bin/env perl
# What a stranger may throw at the peer port of a running cluster. After each row
# every node lives, the leader is the same, and a write is acknowledged.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../scenario/lib";
use Cluster;
use IO::Socket::INET;
use Test::More;

my $SEED = $ENV{TALLY_SEED} // 20261127;
srand $SEED;
diag "seed $SEED";
my $c = Cluster->new(nodes => 3, flags => ['--election', '2s']);
$c->start($_) for $c->ids;
my $leader = $c->leader;
my ($follower) = grep { $_ != $leader } $c->ids;

sub peer { return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $c->{peer_port}{ $_[0] }, Timeout => 20) }
sub random_bytes { return join '', map { chr int rand 256 } 1 .. $_[0] }

# What a member says first, taken from the wire: a listener in the place of a member.
sub overheard {
	my $lone = Cluster->new(nodes => 2);
	my $ear = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $lone->{peer_port}{2}, Listen => 16, ReuseAddr => 1)
		or return '';
	$lone->start(1);
	my $hello = '';
	Cluster::wait_for(sub {
		my $s = $ear->accept or return 0;
		sysread $s, $hello, 65536;
		return length $hello;
	}, 20);
	return $hello;
}
my $hello = overheard();

sub throw {
	my ($i, $bytes) = @_;
	my $s = peer($i) or return;
	local $SIG{PIPE} = 'IGNORE';
	$s->blocking(0);
	for (my $at = 0; $at < length $bytes; ) {
		my $n = syswrite $s, $bytes, 65536, $at;
		last if !$n && !$!{EAGAIN};
		$at += $n if $n;
		last if !$n && !IO::Select->new($s)->can_write(2);
	}
	shutdown $s, 1;
	Cluster::wait_for(sub { $s->blocking(1); !sysread $s, my $in, 65536 }, 3);
	close $s;
}

my @rows = (
	['nothing', ''],
	['one byte', "\1"],
	['a RESP request', Cluster::Client::encode('SET', 'k', 'v')],
	['a browser', "GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
	['zeroes', "\0" x 100000],
	['ones', "\xff" x 100000],
	(map { my $l = $_; ["a length of $l", pack('V', $l) . "\0" x 60] } 0, 1, 0x7fffffff, 0x80000000, 0xffffffff),
	(map { ["noise $_", random_bytes(1 << (4 + 2 * $_))] } 1 .. 8),
	['the hello of another cluster', $hello],
	['half of it', substr $hello, 0, length($hello) / 2],
	['twice', $hello x 2],
	['and noise', $hello . random_bytes(100000)],
	(map {
		my $at = int rand(length($hello) || 1);
		my $changed = $hello;
		substr($changed, $at, 1) ^= chr(1 << int rand 8) if length $changed;
		["with a flipped bit at $at", $changed . random_bytes(1000)]
	} 1 .. 20),
);
ok(length $hello, 'a hello was overheard');
for my $row (@rows) {
	my ($name, $bytes) = @$row;
	throw($_, $bytes) for $leader, $follower;
	my @gone = grep { !$c->runs($_) } $c->ids;
	my $said = @gone ? 'nothing' : eval { $c->client($leader, timeout => 20)->cmd('SET', 'peer', $name) } // $@;
	ok(!@gone && $said eq 'OK', $name) or diag "gone: @gone; said $said";
	last if @gone;
}
{
	my @half = grep { defined } map { peer($leader) } 1 .. 500;
	my $said = eval { $c->client($leader, timeout => 20)->cmd('SET', 'peer', 'half-open') } // $@;
	is($said, 'OK', scalar(@half) . ' connections that say nothing');
}
is($c->leader, $leader, 'the leader is the same');
ok($c->same_hash($c->ids), 'all hold the same bytes');
done_testing;
