#!/usr/bin/env perl
# The walking skeleton: three processes, one SET replicated and synced, kill -9
# of the leader, read back, the killed node returns, a polite stop.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cluster;
use Test::More;

my $c = Cluster->new(nodes => 3);
$c->start($_) for $c->ids;
my $first = $c->leader;
ok($first, "three processes elect a leader (n$first)");

is($c->client($first)->cmd('SET', 'stick', 'notched'), 'OK', 'a SET is acknowledged');
my ($follower) = grep { $_ != $first } $c->ids;
is($c->client($follower)->cmd('GET', 'stick'), 'notched', 'a follower reads it through the leader');
is($c->client($follower)->cmd('SET', 'through', 'follower'), 'OK', 'a follower passes a write on');
is($c->client($first)->cmd('GET', 'through'), 'follower', 'and the leader has it');
ok($c->same_hash($c->ids), 'all three databases hold the same bytes');

my $t = $c->client($follower);
is($t->cmd('WATCH', 'stick'), 'OK', 'WATCH at a follower');
is($t->cmd('MULTI'), 'OK', 'MULTI');
is($t->cmd('SET', 'stick', 'twice'), 'QUEUED', 'queued at the follower');
is($t->cmd('INCR', 'count'), 'QUEUED', 'both');
is_deeply($t->cmd('EXEC'), ['OK', 1], 'EXEC runs at the leader as one');
$t->cmd('WATCH', 'stick');
$c->client($first)->cmd('SET', 'stick', 'thrice');
$t->cmd('MULTI');
$t->cmd('SET', 'stick', 'lost');
is($t->cmd('EXEC'), undef, 'a watched key that changed stops EXEC');

is($c->client($first)->cmd('ONCE', 'id-1', 'INCR', 'count'), 2, 'ONCE runs');
is($c->client($follower)->cmd('ONCE', 'id-1', 'INCR', 'count'), 2, 'and is replayed through another node');

$c->kill9($first);
my $second = $c->leader;
isnt($second, $first, "after kill -9 another leads (n$second)");
my ($other) = grep { $_ != $first && $_ != $second } $c->ids;
is($c->patient($second, 'GET', 'stick'), 'thrice', 'what was acknowledged is there');
is($c->patient($other, 'GET', 'count'), 2, 'also through the other node');
is($c->patient($other, 'ONCE', 'id-1', 'INCR', 'count'), 2, 'the request id is remembered');
is($c->patient($second, 'SET', 'after', 'kill'), 'OK', 'two of three take writes');

$c->start($first);
ok($c->same_hash($c->ids), 'the killed node returns and holds the same bytes');
is($c->patient($first, 'GET', 'after'), 'kill', 'and answers');

my $leader = $c->leader;
my ($code, $took) = $c->term($leader);
is($code, 0, 'SIGTERM ends the leader with 0');
cmp_ok($took, '<', 4, sprintf 'in time (%.2f s; the goal is 2 s)', $took);
my $third = $c->leader;
isnt($third, $leader, "leadership was handed over (n$third)");
is($c->patient($third, 'GET', 'after'), 'kill', 'nothing is lost by a polite stop');
$c->start($leader);
ok($c->same_hash($c->ids), 'and it comes back');

done_testing;
