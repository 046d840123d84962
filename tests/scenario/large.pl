#!/usr/bin/env perl
# What can be written can be read, through any node: the largest values, replies of many of them, many in a row, and
# the key space of more keys than a walk on the loop may see.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cluster;
use Test::More;

my $MIB = 1 << 20;

# Replies that clients repeat: leadership may move on a busy machine.
sub is_retry { my ($r) = @_; return defined $r && !ref $r && $r =~ /^-\S+ \{"outcome":"retry"/ }

my $c = Cluster->new(nodes => 3, flags => ['--election', '2s']);
$c->start($_) for $c->ids;
my $leader = $c->leader;
my ($follower) = grep { $_ != $leader } $c->ids;

my @values = map { my $i = $_; pack('N*', map { $_ * 7 + $i } 1 .. $MIB / 4) } 0 .. 8;
is($c->patient($leader, 'SET', "v$_", $values[$_]), 'OK', "a value of 1 MiB is written ($_)") for 0 .. 8;
for my $i ($leader, $follower) {
	my $name = $i == $leader ? 'the leader' : 'a follower';
	ok($c->patient($i, 'GET', 'v1') eq $values[1], "a value of 1 MiB is read through $name");
	my $seven = $c->patient($i, 'MGET', map {"v$_"} 0 .. 6);
	ok(ref $seven && "@$seven" eq "@values[0 .. 6]", "seven of them in one reply through $name");
	like($c->patient($i, 'MGET', map {"v$_"} 0 .. 8), qr/^-TOO_LARGE \{"outcome":"refused","reason":"the reply is over 8 MiB/,
		"nine are too many through $name, and it is said why");
	my $t = $c->client($i);
	$t->cmd('MULTI');
	$t->cmd('GET', "v$_") for 0 .. 3;
	my $queue = $t->cmd('EXEC');
	ok(is_retry($queue) || (ref $queue && "@$queue" eq "@values[0 .. 3]"), "a queue answers four of them through $name");
}

# Forty of them at once: what does not fit on the way is refused, and the connection goes on.
for my $i ($leader, $follower) {
	my $name = $i == $leader ? 'the leader' : 'a follower';
	my $t = $c->client($i, timeout => 60);
	$t->raw(join '', map { Cluster::Client::encode('GET', 'v' . $_ % 9) } 0 .. 39);
	my ($whole, $retry) = (0, 0);
	for (0 .. 39) {
		my $r = $t->read;
		$whole++ if $r eq $values[ $_ % 9 ];
		$retry++ if is_retry($r);
	}
	is($whole + $retry, 40, "forty long replies in a row through $name: each is right or to be asked again");
	cmp_ok($whole, '>=', 8, "and as many come as are kept ($whole)");
	is($t->cmd('PING'), 'PONG', 'the connection stays');
	ok($c->patient($i, 'GET', 'v7') eq $values[7], 'and asked again it comes');
}

# More keys than a transaction may walk.
my $fill = q{for i = 1, 1000 do redis.call('SET', ARGV[1] .. i, 'v') end return 1};
for my $n (100 .. 204) {
	is($c->patient($leader, 'EVAL', $fill, 0, "k:$n:"), 1, 'a thousand keys') || last;
}
for my $i ($leader, $follower) {
	my $name = $i == $leader ? 'the leader' : 'a follower';
	is($c->patient($i, 'DBSIZE'), 105_009, "DBSIZE counts 105,009 keys through $name");
	my $all = $c->patient($i, 'KEYS', 'k:*');
	is(ref $all ? scalar @$all : $all, 105_000, "KEYS lists 105,000 through $name");
	is_deeply($c->patient($i, 'KEYS', 'k:2?4:1000'), ['k:204:1000'], 'and finds one among them');
	my $t = $c->client($i);
	$t->raw(join '', map { Cluster::Client::encode(@$_) } ['SET', 'one-more', 1], ['DBSIZE'], ['DEL', 'one-more'], ['DBSIZE'], ['PING']);
	my @got = map { $t->read } 1 .. 5;
	ok((grep { is_retry($_) } @got) || "@got" eq 'OK 105010 1 105009 PONG', "replies keep their order through $name")
		or diag("@got");
}
is($c->patient($follower, 'FLUSHDB'), 'OK', 'all of it is flushed at once');
is($c->patient($follower, 'DBSIZE'), 0, 'and nothing is left');
done_testing;
