#!/usr/bin/env perl
# A scan of a million keys: in pages, each key once, through any node, with the node's memory flat and others served
# meanwhile.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cluster;
use Test::More;

my $KEYS = 1_000_000;
my $FLAT = 64 << 20; # of growth during a scan: a cache that fills, not a million keys

my $c = Cluster->new(nodes => 3, flags => ['--election', '2s']);
$c->start($_) for $c->ids;
my $leader = $c->leader;
my ($follower) = grep { $_ != $leader } $c->ids;

my $fill = q{for i = 0, 999 do redis.call('SET', ARGV[1] .. i, 'v') end return 1};
for my $n (1000 .. 1999) {
	$c->patient($leader, 'EVAL', $fill, 0, "k:$n:");
}
is($c->patient($leader, 'DBSIZE'), $KEYS, 'a million keys are there');

sub memory {
	my ($i) = @_;
	return $c->patient($i, 'INFO', 'memory') =~ /^used_memory:(\d+)/m ? $1 : -1;
}

for my $i ($leader, $follower) {
	my $name = $i == $leader ? 'the leader' : 'a follower';
	my ($seen, $twice, $pages, $strange, $others) = ('', 0, 0, 0, 0);
	my ($before, $most) = (memory($leader), 0);
	my $cursor = 0;
	do {
		my $page = $c->patient($i, 'SCAN', $cursor, 'COUNT', 1000);
		$cursor = ref $page ? $page->[0] : 0;
		for my $key (ref $page ? @{ $page->[1] } : ()) {
			my ($n, $m) = $key =~ /^k:(\d{4}):(\d{1,3})$/;
			$strange++, next if !defined $n;
			my $at = ($n - 1000) * 1000 + $m;
			$twice++ if vec($seen, $at, 1);
			vec($seen, $at, 1) = 1;
		}
		if (++$pages % 50 == 0) {
			$others += $c->patient($leader, 'GET', "k:1500:7") eq 'v';
			my $now = memory($leader);
			$most = $now if $now > $most;
		}
	} while $cursor;
	is(unpack('%32b*', $seen), $KEYS, "SCAN shows a million keys through $name");
	is("$twice $strange", '0 0', 'each once, and no other');
	cmp_ok($pages, '>=', 1000, "in pages ($pages)");
	is($others, int($pages / 50), 'while another client is answered');
	cmp_ok($most - $before, '<', $FLAT, sprintf('and memory is flat: %.1f MiB more', ($most - $before) / (1 << 20)));
}
done_testing;
