#!/usr/bin/env perl
# Members that do not fit: a directory that lost its memory, `member` lines that differ from one node
# to the next or from what the cluster was founded with. Each ends, or is kept out, with a line that
# says what to do; the others are not harmed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../scenario/lib";
use Cluster;
use File::Path qw(remove_tree);
use Test::More;

my $ends = sub {
	my ($c, $i) = @_;
	my $done = Cluster::wait_for(sub { $c->reap($i) });
	my $status = $c->{status}{$i} // -1;
	return $done ? ($status & 127 ? -($status & 127) : $status >> 8) : 'lives on';
};

# ---- memory that is gone ----

{
	my $c = Cluster->new(nodes => 3);
	$c->start($_) for $c->ids;
	$c->leader;
	$c->kill9(3);
	remove_tree($c->dir(3));
	my $from = -s $c->logfile(3);
	eval { $c->start(3) };
	is($ends->($c, 3), 1, 'a node whose directory was emptied ends with 1: it is no crash');
	my $said = Cluster::read_from($c->logfile(3), $from);
	my @fatal = grep {/^fatal: /} split /\n/, $said;
	is(scalar @fatal, 1, 'with one last line');
	is(scalar(() = $said =~ /memory is gone/g), 1, 'which says it once');
	unlike($said, qr/peer_refused/, 'and blames nobody else');
	like($fatal[0] // '', qr/memory is gone.*docs\/operations\.md/, 'that says why, and where to read on');
}

# ---- member lines that differ ----

{
	my $c = Cluster->new(nodes => 3);
	my @fourth = ('--member', '4=127.0.0.1:' . join ',127.0.0.1:', Cluster::free_ports(2));
	$c->start(3, @fourth);
	$c->start($_) for 1, 2;
	my $leader = Cluster::wait_for(sub { $c->status(1)->{leader} });
	ok($leader && $leader != 3, 'two of three that agree found the cluster without the third');
	is($c->patient($leader, 'SET', 'k', 'v'), 'OK', 'and take writes');
	ok(Cluster::wait_for(sub { Cluster::read_from($c->logfile(3), 0) =~ /peer_refused .* its member lines are not ours/ }),
		'the third says that its member lines are not theirs');
	ok($c->runs($_), "and node $_ lives") for $c->ids;
	for my $i (1, 2) {
		my $said = sub { scalar(() = Cluster::read_from($c->logfile($i), 0) =~ /peer_refused .*from=3/g) };
		Cluster::wait_for($said); # it may not have dialed this one yet
		is($said->(), 1,
			"node $i says once that it lets it not in, however often it dials");
	}
	$c->kill9(3);

	# Its log begins with what it was told.
	eval { $c->start(3) };
	is($ends->($c, 3), 1, 'with the right lines its directory does not fit');
	like(Cluster::read_from($c->logfile(3), 0), qr/^tallyd: .*n3\/log: the members of this cluster are 1=.* 4=/m,
		'and the line names the members that it begins with');
	remove_tree($c->dir(3));
	$c->start(3);
	my $again = sub {
		Cluster::read_from($c->logfile(3), 0) =~ /role=follower leader=[12]/;
	};
	ok(Cluster::wait_for($again), 'emptied it comes in: nobody had met it');

	$c->term(3);
	eval { $c->start(3, @fourth) };
	is($ends->($c, 3), 1, 'later other member lines are refused at the start');
}

done_testing;
