#!/usr/bin/env perl
# What a node says finds no place: its pipe is full and nobody reads, or the disk below is full. It serves all the
# same, and tells later how many lines were lost.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cluster;
use Fcntl;
use POSIX ();
use Test::More;

# Up to the last byte.
sub fill {
	my ($to) = @_;
	my $old = fcntl $to, F_GETFL, 0;
	fcntl $to, F_SETFL, $old | O_NONBLOCK;
	while (defined syswrite $to, '.' x 4096) { }
	while (defined syswrite $to, '.') { }
	fcntl $to, F_SETFL, $old;
}

# A node whose standard error is this handle.
sub start {
	my ($c, $i, $sink) = @_;
	my $pid = fork // die "fork: $!";
	if (!$pid) {
		open STDIN, '<', '/dev/null';
		open STDOUT, '>&', $sink;
		open STDERR, '>&', $sink;
		exec Cluster::binary(), $c->arguments($i) or POSIX::_exit(127);
	}
	$c->{pid}{$i} = $pid;
}

my $c = Cluster->new(nodes => 3);
my (%from, %to);
for my $i ($c->ids) {
	pipe $from{$i}, $to{$i} or die "pipe: $!";
	fill($to{$i});
	start($c, $i, $to{$i});
}
my $old = $c->leader;
is($c->patient($old, 'SET', 'k', 'v1'), 'OK', "three nodes that nobody hears: n$old leads and takes a write");
is($c->patient($_, 'GET', 'k'), 'v1', "n$_ answers a read") for $c->ids;
for (1 .. 40) {    # ten lines a second and client at most
	my $stranger = $c->client($old);
	$stranger->raw("*1\r\n\$-7\r\n")->rest(10);
}
is($c->patient($old, 'GET', 'k'), 'v1', 'it has much to say about forty clients that speak wrong, and serves');
$c->kill9($old);
my $new = $c->leader;
isnt($new, $old, "it is killed, and n$new leads");
is($c->patient($new, 'SET', 'k', 'v2'), 'OK', 'and takes writes');
start($c, $old, $to{$old});
is($c->patient($old, 'GET', 'k'), 'v2', "n$old starts unheard and answers");
my ($status) = $c->term($new);
is($status, 0, "SIGTERM of n$new is obeyed");

# Somebody reads again.
my $said = Cluster::wait_for(sub {
	my $other = (grep { $_ != $old && $_ != $new } $c->ids)[0];
	fcntl $from{$other}, F_SETFL, O_NONBLOCK;
	$c->{said} //= '';
	while (sysread $from{$other}, my $bytes, 65536) { $c->{said} .= $bytes }
	$c->client($other)->raw("*1\r\n\$-7\r\n")->rest(10);
	return $c->{said} =~ /( n\d \w+ .* dropped=\d+)$/m ? $1 : undef;
});
ok($said, 'when somebody reads again, it tells how many lines were lost') and note $said;

my $alone = Cluster->new(nodes => 1);
open my $full, '>', '/dev/full' or die "/dev/full: $!";
start($alone, 1, $full);
is($alone->patient($alone->leader, 'SET', 'k', 'v'), 'OK', 'a node serves that says its lines to a full disk');
($status) = $alone->term(1);
is($status, 0, 'and ends when it is told');
done_testing;
