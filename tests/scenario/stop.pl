#!/usr/bin/env perl
# A polite stop under load: leadership is handed over, clients are told, the
# process ends with 0; nothing that was acknowledged is lost, nothing is said twice.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cluster;
use IO::Select;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $c = Cluster->new(nodes => 3);
$c->start($_) for $c->ids;
my $leader = $c->leader;

# A child writes keys through the leader, 64 under way at a time, until it is told to go
# elsewhere; it reports the keys that were acknowledged and the errors it saw.
sub writer {
	my ($name, $port) = @_;
	pipe my $out, my $in or die;
	my $pid = fork // die;
	if ($pid) { close $in; return ($pid, $out) }
	close $out;
	my $s = Cluster::Client->new($port, timeout => 30);
	my ($sent, $done, $stop) = (0, 0, 0);
	eval {
		while (!$stop) {
			while ($sent - $done < 64) { $s->send('SET', "stop:$name:$sent", $sent); $sent++ }
			my $said = $s->read;
			print $in $said eq 'OK' ? "ok $done\n" : "error $done $said\n";
			$stop = 1 if $said ne 'OK';
			$done++;
		}
		while ($done < $sent) {
			my $said = $s->read;
			print $in $said eq 'OK' ? "ok $done\n" : "error $done $said\n";
			$done++;
		}
	};
	close $in;
	POSIX::_exit(0);
}

my %writer = map { my ($pid, $out) = writer($_, $c->{client_port}{$leader}); $_ => { pid => $pid, out => $out } } 1 .. 4;
# Under way when the signal comes: each has had answers.
my %first = map { $_ => scalar readline $writer{$_}{out} } keys %writer;
is(scalar(grep { /^ok/ } values %first), 4, 'four clients write through the leader');

my ($code, $took) = $c->term($leader);
is($code, 0, 'the leader stops with 0');
cmp_ok($took, '<', 4, sprintf 'in time under load (%.2f s; the goal is 2 s)', $took);

my (%acknowledged, @odd);
for my $name (keys %writer) {
	for my $line ($first{$name}, readline $writer{$name}{out}) {
		if ($line =~ /^ok (\d+)/) { $acknowledged{"stop:$name:$1"} = $1 }
		elsif ($line !~ /^error \d+ -\w+ \{"outcome":"(?:retry|unknown)"/) { push @odd, $line }
	}
	waitpid $writer{$name}{pid}, 0;
}
is_deeply(\@odd, [], 'what was not acknowledged was answered retry or unknown');

my $next = $c->leader;
isnt($next, $leader, "n$next took over");
my $s = $c->client($next);
my @keys = sort keys %acknowledged;
my @lost;
while (my @some = splice @keys, 0, 200) {
	my $values = $s->cmd('MGET', @some);
	push @lost, grep { ($values->[$_] // '') ne $acknowledged{ $some[$_] } } 0 .. $#some;
}
is(scalar(@lost), 0, 'none of the ' . keys(%acknowledged) . ' acknowledged writes is lost');
$c->start($leader);
ok($c->same_hash($c->ids), 'the stopped node returns and holds the same bytes');

# A disk that hangs: the next files of the database are pipes that nobody reads.
my $alone = Cluster->new(nodes => 1);
$alone->start(1);
$alone->leader;
is($alone->client(1)->cmd('SET', 'stop:alone', 'kept'), 'OK', 'a node alone has written');
my $database = $alone->dir(1) . '/db';
my ($newest) = sort { $b <=> $a } map { m{/(?:MANIFEST-)?(\d+)[^/]*$} ? $1 : () } glob "$database/*";
my @pipes = map { sprintf "$database/%06d.sst", $newest + $_ } 1 .. 20;
for my $pipe (@pipes) { POSIX::mkfifo($pipe, 0600) or die "$pipe: $!" }
($code, $took) = $alone->term(1);
is($code, 0, 'it stops with 0 when its disk hangs');
cmp_ok($took, '<', 15, sprintf 'and does not wait for it for ever (%.2f s; the goal is 5 s)', $took);
unlink @pipes;
$alone->start(1);
$alone->leader;
is($alone->client(1)->cmd('GET', 'stop:alone'), 'kept', 'what was not written to the database is in the log');
done_testing;
