#!/usr/bin/env perl
# Redis' own tools and clients against leader and follower: redis-cli, redis-benchmark, hiredis, redis-py.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cluster;
use Test::More;

my $PYTHON = '/usr/bin/python3'; # Debian's own: another one does not see Debian's modules

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
		skip 'redis-cli is not installed', 12 if !has('redis-cli');
		is(cli($i, 'set', "cli:$name", 'v'), "OK\n", "redis-cli sets at the $name");
		is(cli($i, 'get', "cli:$name"), "v\n", 'and gets');
		is(cli($i, '-3', 'get', "cli:$name"), "v\n", 'also in RESP3');
		like(cli($i, 'info', 'server'), qr/redis_version:7\.0\.15\r?\n/, 'INFO');
		like(cli($i, 'command', 'docs', 'get'), qr/summary/, 'COMMAND DOCS');
		like(cli($i, 'help', 'once'), qr/ONCE.*id command.*summary:.*happens once/s, 'help tells of our own words');
		like(cli($i, '--scan', '--pattern', 'cli:*'), qr/cli:$name\n/, '--scan');
		like(cli($i, '--memkeys'), qr/strings with [1-9]\d* bytes/, '--memkeys');
		like(cli($i, '--bigkeys'), qr/Biggest string found/, '--bigkeys');
		like(cli($i, 'acl', 'whoami'), qr/^default\n/, 'ACL WHOAMI');
		my $piped = qx(printf 'SET p 1\r\nINCR p\r\nGET p\r\n' | redis-cli -p $port --pipe 2>&1);
		like($piped, qr/errors: 0, replies: 3/, '--pipe');
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
SKIP: {
		skip 'python3-redis is not installed', 1 if system("$PYTHON -c 'import redis' 2>/dev/null") != 0;
		my ($lines, $plan) = (0, -1);
		for (qx($PYTHON $FindBin::Bin/redis_py.py $port 2>&1)) {
			$lines++, ok(!$1, "redis-py at the $name: $2") if /^(not )?ok \d+ - (.*)/;
			$plan = $1 if /^1\.\.(\d+)/;
			diag $_ if !/^(?:ok|1\.)/;
		}
		is($lines, $plan, "redis-py at the $name comes to its end");
	}
}
done_testing;
