#!/usr/bin/env perl
# A script that takes long is asked to end, and does. One that does not come back within its limit (here one that is
# busy with a pattern): the node that ran it ends, the others go on, and it refuses the script when it is there again.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cluster;
use Test::More;

# Ten seconds, of few instructions: each key is put behind all others that begin at its place.
my $crowd = q(redis.call('SET', 'crowd', '1') local keys = {} for i = 1, 131073 do keys[-i] = i end)
	. q( for i = 1, 100000 do keys[i * 262143] = i end return 1);
my $spin = q(return (('ab'):rep(2000)):find('.-.-.-c'));
my $build = $ENV{TALLY_BUILD} // 'build';

{
	my $c = Cluster->new(nodes => 1);
	$c->start(1);
	$c->leader;
	my $late = qr/^-BUDGET_EXCEEDED \{"outcome":"refused","reason":"the script used up its processor time, /;
	like(eval { $c->client(1, timeout => 60)->cmd('EVAL', $crowd, 0) } // $@, $late, 'a script whose instructions are slow ends when it is asked to');
	like(Cluster::read_from($c->logfile(1), 0), qr/ warn script_late eval=- hash=[0-9a-f]{40}$/m, 'the log tells which');
	ok($c->runs(1), 'the node lives');
	is($c->client(1)->cmd('GET', 'crowd'), undef, 'and nothing was written');
	is($c->client(1)->cmd('EVAL', 'return 2', 0), 2, 'the next script runs');
	like($c->client(1, timeout => 60)->cmd('EVAL', $crowd, 0), $late, 'the same is not refused, and ends the same way');
	my $queue = $c->client(1, timeout => 60);
	$queue->cmd('MULTI');
	$queue->cmd('EVAL', $crowd, 0) for 1 .. 3;
	like(eval { $queue->cmd('EXEC') } // $@, qr/^-TOO_LARGE /, 'a queue ends with the first call that was late');
}

my $c = Cluster->new(nodes => 3);
$c->start($_, '--script-limit', '8ms') for $c->ids;
my $first = $c->leader;
is($c->patient($first, 'SET', 'stick', 'notched'), 'OK', 'three nodes serve');

# Until it is caught: it may come back just in time on a machine that gives the watchdog no processor.
sub spin_at {
	my ($i) = @_;
	return Cluster::wait_for(sub { eval { $c->client($i, timeout => 10)->cmd('EVAL', $spin, 0) }; $c->reap($i) });
}
ok(spin_at($first), 'the leader ends when a script does not come back');
is($c->{status}{$first}, 1 << 8, 'with status 1 and without a core');
my $said = Cluster::read_from($c->logfile($first), 0);
like($said, qr{^fatal: a call of eval - \(hash [0-9a-f]{40}\) used more than 8 ms of processor time and did not come back; .*\Q${\$c->dir($first)}\E/refused: start the node again}m,
	'its last line says why and what to do');

my $second = $c->leader;
isnt($second, $first, 'another one leads');
is($c->patient($second, 'GET', 'stick'), 'notched', 'and serves what was written');

$c->start($first, '--script-limit', '8ms');
like(Cluster::read_from($c->logfile($first), length $said), qr/ warn script_refused eval=- hash=[0-9a-f]{40}\n/, 'it starts again and tells what it refuses');
like($c->patient($first, 'INFO', 'tally'), qr/^scripts_refused:1\r$/m, 'so does its INFO');
like(`"$build/tally" --servers 127.0.0.1:$c->{client_port}{$first} status 2>&1`,
	qr/^n$first .*  scripts refused 1$(?s:.*)^scripts that did not come back are refused: which is in those nodes' logs/m,
	'and tally status, which says where to read on');
ok(Cluster::wait_for(sub {
	my $leader = $c->leader;
	return 1 if $leader == $first;
	$c->client($leader, timeout => 10)->cmd('TALLY', 'TRANSFER', $first);
	return;
}), 'it leads again');
like($c->patient($first, 'EVAL', $spin, 0), qr/^-SCRIPT_REFUSED \{"outcome":"refused","eval":"-","hash":"[0-9a-f]{40}","reason":"a call of this script did not come back/,
	'and refuses the script');
is($c->patient($first, 'EVAL', 'return 2', 0), 2, 'no other');
ok($c->runs($_), "node $_ runs") for $c->ids;

$c->term($first);
unlink $c->dir($first) . '/refused';
$c->start($first);
like($c->patient($first, 'INFO', 'tally'), qr/^scripts_refused:0\r$/m, 'without its list a node allows them again');
unlike(`"$build/tally" --servers 127.0.0.1:$c->{client_port}{$first} status 2>&1`, qr/refused/, 'and status says no more of it');
done_testing();
