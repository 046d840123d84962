#!/usr/bin/env perl
# Redis' own tools against leader and follower: redis-cli, redis-benchmark, hiredis.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cluster;
use Test::More;

sub has { my ($tool) = @_; return grep { -x "$_/$tool" } split /:/, $ENV{PATH} }

my $c = Cluster->new(nodes => 3);
$c->start($_) for $c->ids;
my $leader = $c->leader;
my ($follower) = grep { $_ != $leader } $c->ids;

sub cli {
	my ($i, @words) = @_;
	open my $out, '-|', 'redis-cli', '-p', $c->{client_port}{$i}, @words or return "cannot run: $!";
	local $/;
	my $text = <$out>;
	close $out;
	return $text;
}

for my $where (['leader', $leader], ['follower', $follower]) {
	my ($name, $i) = @$where;
	my $port = $c->{client_port}{$i};
SKIP: {
		skip 'redis-cli is not installed', 8 if !has('redis-cli');
		is(cli($i, 'set', "cli:$name", 'v'), "OK\n", "redis-cli sets at the $name");
		is(cli($i, 'get', "cli:$name"), "v\n", 'and gets');
		is(cli($i, '-3', 'get', "cli:$name"), "v\n", 'also in RESP3');
		like(cli($i, 'info', 'server'), qr/redis_version:7\.0\.15\r?\n/, 'INFO');
		like(cli($i, 'command', 'docs', 'get'), qr/summary/, 'COMMAND DOCS');
		like(cli($i, '--scan', '--pattern', 'cli:*'), qr/cli:$name\n/, '--scan');
		like(cli($i, '--memkeys'), qr/strings with [1-9]\d* bytes/, '--memkeys');
		like(cli($i, 'role'), $name eq 'leader' ? qr/^master\n/ : qr/^slave\n127\.0\.0\.1\n$c->{client_port}{$leader}\nconnected\n/,
			"a health check by ROLE at the $name");
	}
SKIP: {
		skip 'redis-benchmark is not installed', 1 if !has('redis-benchmark');
		my $out = qx(redis-benchmark -p $port -t set,get,incr,mset -n 2000 -c 20 -P 4 -q 2>&1);
		my @lines = $out =~ /(\w+(?: \(10 keys\))?): \d[\d.]* requests per second/g;
		ok($? == 0 && @lines == 4 && $out !~ /rror/, "redis-benchmark at the $name") or diag $out;
	}
SKIP: {
		my $plain = "$ENV{TALLY_BUILD}/tests/scenario/hiredis_plain";
		skip 'hiredis is not installed', 1 if !-x $plain;
		my $out = qx($plain 127.0.0.1 $port $name 2>&1);
		is($out, "ok\n", "a plain hiredis program at the $name");
	}
}
done_testing;
