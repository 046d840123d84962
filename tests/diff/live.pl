#!/usr/bin/env perl
# Three nodes against redis-server, line by line: at the leader, and at a follower that forwards.
#
# On a machine that is busy enough an election may come in between; a line then gets an honest retry
# error. So a run with failures counts only if one term lasted through it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../scenario/lib";
use Cluster;
use Test::More;

if (`redis-server --version 2>/dev/null` =~ / v=(\d+)\./ && $1 != 7) {
	print "ok 1 # SKIP redis-server is version $1 here, and the promise is Redis 7\n1..1\n";
	exit 0;
}

my $RUNS = 5;
my @cases = sort glob "$FindBin::Bin/cases/*.cases";

sub term { my ($c, $i) = @_; return ($c->status($i) // {})->{term} // 0 }

# The lines of TAP that diff writes against one node.
sub play {
	my ($c, $i) = @_;
	open my $out, '-|', "$ENV{TALLY_BUILD}/tests/diff/diff", '--address', "127.0.0.1:$c->{client_port}{$i}", @cases
		or die "cannot run diff: $!";
	my @lines = <$out>;
	close $out;
	return @lines;
}

sub report {
	my ($name, @lines) = @_;
	for (@lines) {
		if (/^(not )?ok \d+ - (.*)/) {
			ok(!$1, "$name: $2");
		} elsif (/^ok \d+ # SKIP (.*)/) {
			SKIP: { skip "$name: $1", 1 }
		} elsif (/^# (.*)/) {
			diag($1);
		}
	}
	ok(scalar(grep { /^1\.\./ } @lines), "$name: the comparison ran to its end");
}

my $c = Cluster->new(nodes => 3, flags => ['--election', '2s']);
$c->start($_) for $c->ids;
# What a build does not serve yet is left out, with a line that says so.
for my $left (['scripts', 'EVAL', 'return 1', 0], ['functions', 'FUNCTION', 'LIST']) {
	my ($file, @words) = @$left;
	next if ($c->client($c->leader)->cmd(@words) // '') !~ /not served/;
	SKIP: { skip "$words[0] is not served by this build", 1 }
	@cases = grep { !m{/$file\.cases$} } @cases;
}
for my $where ('leader', 'follower') {
	my @lines;
	for my $run (1 .. $RUNS) {
		my $leader = $c->leader;
		my ($follower) = grep { $_ != $leader } $c->ids;
		my $before = term($c, $leader);
		@lines = play($c, $where eq 'leader' ? $leader : $follower);
		last if !grep { /^not ok/ } @lines;
		last if term($c, $leader) == $before && $c->leader == $leader;
		diag("leadership changed in run $run: again");
	}
	report($where, @lines);
}
my $leader = $c->leader;
ok(defined $c->same_hash($c->ids), 'all nodes hold the same bytes afterwards');
done_testing;
