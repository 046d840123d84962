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
	my @fatal = grep {/^fatal: /} split /\n/, Cluster::read_from($c->logfile(3), $from);
	is(scalar @fatal, 1, 'with one last line');
	like($fatal[0] // '', qr/memory is gone.*docs\/operations\.md/, 'that says why, and where to read on');
}

done_testing;
