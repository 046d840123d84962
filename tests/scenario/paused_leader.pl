#!/usr/bin/env perl
# A read on an old leader after SIGCONT. Every node is reached by its peers through a process that
# only passes bytes on. The leader and its gate are stopped; another takes over; the leader goes on,
# its gate does not: it believes that it leads, has heard nothing, and a read waits in its socket.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cluster;
use IO::Select;
use IO::Socket::INET;
use Test::More;

package Gated;
our @ISA = ('Cluster');

# The others know the gate's address; the node itself listens behind it.
sub arguments {
	my ($self, $i) = @_;
	my @a = $self->SUPER::arguments($i);
	s/^127\.0\.0\.1:$self->{peer_port}{$i}$/127.0.0.1:$self->{behind}{$i}/ for @a;
	return @a;
}

sub open_gates {
	my ($self) = @_;
	my @ports = Cluster::free_ports($self->{nodes});
	$self->{behind}{$_} = shift @ports for $self->ids;
	for my $i ($self->ids) {
		my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $self->{peer_port}{$i},
			Listen => 16, ReuseAddr => 1) or die "gate of n$i: $!";
		my $pid = fork // die "fork: $!";
		if (!$pid) {
			pass_on($listener, $self->{behind}{$i}, getppid);
			POSIX::_exit(0);
		}
		$self->{gate}{$i} = $pid;
	}
}

# Both ways, until the test is gone.
sub pass_on {
	my ($listener, $port, $parent) = @_;
	my $all = IO::Select->new($listener);
	my %other;
	local $SIG{PIPE} = 'IGNORE';
	while (getppid == $parent) {
		for my $s ($all->can_read(1)) {
			if ($s == $listener) {
				my $in = $listener->accept or next;
				my $out = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or next;
				($other{$in}, $other{$out}) = ($out, $in);
				$all->add($in, $out);
				next;
			}
			my $t = $other{$s} or next;
			my $n = sysread $s, my $bytes, 65536;
			while ($n && length $bytes) {
				my $w = syswrite $t, $bytes;
				last if !defined $w;
				substr($bytes, 0, $w) = '';
			}
			next if $n && !length $bytes;
			$all->remove($s, $t);
			delete @other{ $s, $t };
			close $_ for $s, $t;
		}
	}
}

sub DESTROY {
	my ($self) = @_;
	return if $self->{owner} != $$;
	local ($?, $!, $@);
	$self->SUPER::DESTROY;
	for my $pid (values %{ $self->{gate} }) {
		kill 'KILL', $pid;
		waitpid $pid, 0;
	}
}

package main;

my $c = Gated->new(nodes => 3);
$c->open_gates;
$c->start($_) for $c->ids;

# Each time it either serves the read before its own timer tells it how long it was away, or behind that: a leader
# that answered without asking would be caught at the first.
for my $round (1 .. 3) {
	my $old = $c->leader;
	my @others = grep { $_ != $old } $c->ids;
	is($c->patient($old, 'SET', 'k', "old $round"), 'OK', "round $round: n$old leads and takes a write");
	my $client = $c->client($old);
	is($client->cmd('GET', 'k'), "old $round", 'a client reads it there');

	kill 'STOP', $c->{gate}{$old}, $c->pid($old);
	my $new = Cluster::wait_for(sub {
		my $status = $c->status($others[0]) // {};
		my $id = $status->{leader} // 0;
		return $id && $id != $old ? $id : undef;
	});
	ok($new, 'it is stopped, and n' . ($new // '?') . ' leads');
	is($c->patient($others[0], 'SET', 'k', "new $round"), 'OK', 'and takes another write');

	$client->send('GET', 'k');
	kill 'CONT', $c->pid($old);
	my $answer = $client->read;
	like($answer // 'nil', qr/^-\S+ \{"outcome":"retry"/, 'the old leader goes on, and does not answer with what it knows');

	kill 'CONT', $c->{gate}{$old};
	is($c->patient($old, 'GET', 'k'), "new $round", 'once it hears the others the new value is read through it');
}
ok($c->same_hash($c->ids), 'and they hold the same bytes');
done_testing;
