#!/usr/bin/env perl
# One node under valgrind's memcheck: commands, a script, a procedure, bad input, a polite stop. Part of
# `make check-valgrind`, not of `make check`.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cluster;
use Test::More;

my $src = $ENV{TALLY_SRC} // "$FindBin::Bin/../..";
my $build = $ENV{TALLY_BUILD} // 'build';
plan skip_all => 'valgrind is not installed' if system('valgrind --version >/dev/null 2>&1') != 0;

$Cluster::WAIT_S = 300;
my $c = Cluster->new(
	nodes => 1,
	flags => [ '--election', '5s', '--heartbeat', '500ms', '--deadline', '60s' ],
	prefix => [
		'valgrind', '-q', '--error-exitcode=99', '--leak-check=full', '--show-leak-kinds=definite',
		'--errors-for-leak-kinds=definite', "--suppressions=$src/tests/lib/valgrind.supp"
	]
);
$c->start(1);
is($c->leader, 1, 'a node under memcheck leads');
my $t = $c->client(1, timeout => 120);
is($t->cmd('SET', 'stick', 'notched'), 'OK', 'SET');
is($t->cmd('GET', 'stick'), 'notched', 'GET');
is($t->cmd('INCR', 'count'), 1, 'INCR');
is($t->cmd('ONCE', 'id-1', 'INCR', 'count'), 2, 'ONCE');
is($t->cmd('ONCE', 'id-1', 'INCR', 'count'), 2, 'ONCE again');
is($t->cmd('EVAL', "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])", 1, 'k', 'v'), 'v', 'EVAL');
like($t->cmd('EVAL', "error('on purpose')", 0), qr/^-/, 'a script that fails');
is($t->cmd('MULTI'), 'OK', 'MULTI');
$t->cmd('INCR', 'count');
is_deeply($t->cmd('EXEC'), [3], 'EXEC');
is($t->cmd('SET', 'short', 'lived', 'PX', '1'), 'OK', 'a key that expires');
like($t->cmd('NOSUCH'), qr/^-ERR unknown command/, 'an unknown command');
my $push = `$build/tally script push '$src/commerce' --servers 127.0.0.1:$c->{client_port}{1} --timeout 2m 2>&1`;
is($?, 0, 'the commerce bundle is pushed') or diag($push);
my $call = sub { return $t->cmd('CALL', @_) };
my $now = time * 1000;
my @allot = (allot_id => 'a1', campaign => 'c1', sku => 'phone', qty => 1, from_ms => $now - 3_600_000, until_ms => $now + 3_600_000,
	per_customer => 1, price => 100, pay_ttl_ms => 900000);
like($call->('campaign.allot', @allot), qr/"avail":1/, 'CALL: stock is carved out');
like($call->('order.flash_buy', order_id => "o$_", campaign => 'c1', sku => 'phone', customer => "u$_", qty => 1),
	$_ == 1 ? qr/"left":0/ : qr/^-SOLD_OUT/, "CALL: buyer $_") for 1 .. 3;
like($call->('no.such'), qr/^-/, 'CALL of what is not there');
eval { $c->client(1)->raw("*1\r\n\$99999999999\r\n")->rest(30) };
is($t->cmd('GET', 'stick'), 'notched', 'bad input does no harm');
my ($code, $seconds) = $c->term(1);
is($code, 0, 'SIGTERM ends it with 0: no error and no leak') or diag(Cluster::read_from($c->logfile(1), 0));
my @said = grep { /^==\d+==/ && !/Warning: unimplemented fcntl/ } split /\n/, Cluster::read_from($c->logfile(1), 0);
is("@said", '', 'memcheck says nothing');
done_testing();
