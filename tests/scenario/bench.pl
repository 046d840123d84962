#!/usr/bin/env perl
# The benches as judges, short: each runs, loses nothing and tells its figures
# as JSON, which also go into the table at a tier's end (scripts/figures.pl).
# No figure fails here: the machine may be busy.
use strict;
use warnings;
use IO::Select;
use JSON::PP;
use Test::More;

my $build = $ENV{TALLY_BUILD} // 'build';
my $src = $ENV{TALLY_SRC} // '.';
delete $ENV{TMPDIR};

# Runs a bench and keeps what it printed for the table.
sub bench {
	my ($name, @words) = @_;
	open my $in, '-|', "$build/tally", 'bench', @words, '--local', '3', '--unsafe', '--json' or die "tally: $!";
	local $/;
	my $text = <$in> // '';
	close $in;
	my $code = $? >> 8;
	if ($code == 0 && -d "$build/figures") {
		open my $out, '>', "$build/figures/$name.json" or die "$name.json: $!";
		print $out $text;
		close $out;
	}
	my $json = eval { decode_json($text) } // {};
	is($code, 0, "bench @words ends well") or diag($text);
	return $json;
}

for my $mode (qw(kill transfer restart)) {
	my $times = $mode eq 'restart' ? 3 : 2;
	my $json = bench("failover-$mode", 'failover', '--mode', $mode, '--kills', $times);
	is($json->{n}, $times, "$mode: each time is in the distribution");
	is($json->{lost}, 0, "$mode: no acknowledged write is lost");
	ok($json->{same_bytes}, "$mode: the same bytes on every node");
	ok($json->{min_ms} <= $json->{median_ms} && $json->{median_ms} <= $json->{max_ms}, "$mode: median between least and most");
	cmp_ok($json->{min_ms}, '>', 0, 'a killed leader is missed for a while') if $mode eq 'kill';
}

# Entries are few and large where the machine is busy: 79 for 14,294 sales were seen.
my $flash = bench('flash', 'flash', '--seconds', '2', '--bundle', "$src/commerce", '--tallyd', '--flush-entries=10');
cmp_ok($flash->{sales_per_s}, '>', 0, 'flash sells');
is(sprintf('%.0f', 1000 * ($flash->{p50_ms} // 0)), $flash->{p50_us}, 'and tells milliseconds with their fractions');
is_deeply([@$flash{qw(oversold lost)}], [0, 0], 'what was acknowledged is what the stock lacks');
cmp_ok($flash->{acknowledged}, '>', 0, 'of more than none');
cmp_ok($flash->{flushes_min}, '>', 0, 'and every node flushed its memtable meanwhile');
is(scalar @{ $flash->{rss_mib} }, 3, 'memory of three nodes was looked at');
cmp_ok($flash->{rss_max_mib}, '>', 0, 'and is something');
is($flash->{budget_mib}, 256, 'beside the budget they were given');
cmp_ok($flash->{files_max}, '>', 10, 'so were their files');
ok(defined $flash->{stolen_percent} && $flash->{idle_percent} + $flash->{stolen_percent} < 100, 'the cores were not idle, nor all stolen by a host');

# The ports of the nodes that a bench started.
sub ports_of {
	my ($pid) = @_;
	my @ports;
	for my $child (split ' ', `ps -o pid= --ppid $pid`) {
		open my $in, '<', "/proc/$child/cmdline" or next;
		local $/;
		push @ports, $1 if (<$in> // '') =~ /--listen[=\0][\d.]+:(\d+)/;
	}
	return @ports;
}

# Leadership changes while sales run: nobody ordered it, as far as the bench knows.
{
	my $pid = open my $in, '-|', "$build/tally", qw(bench flash --local 3 --unsafe --json --seconds 4 --bundle), "$src/commerce"
		or die "tally: $!";
	my $told = IO::Select->new($in);
	until ($told->can_read(0.7)) {
		for my $port (ports_of($pid)) {
			last if `redis-cli -p $port TALLY TRANSFER 2>&1` =~ /^OK/; # the others do not lead
		}
	}
	local $/;
	my $json = eval { decode_json(<$in> // '') } // {};
	close $in;
	my $dir = $json->{logs} // '';
	is($json->{lost}, 0, 'sales outlive leaders that go meanwhile');
	cmp_ok($json->{elections} // 0, '>', 0, 'whose going is counted');
	is(join(' ', map { s{.*/}{}r } glob "$dir/*"), 'n1.log n2.log n3.log', 'and of the nodes the logs stay, which say why, and nothing else');
	unlink glob "$dir/n?.log" if $dir ne '';
	rmdir $dir if $dir ne '';
}

my $kv = bench('kv', 'kv', '--reads', '90', '--seconds', '1', '--keys', '100', '--connections', '2', '--depth', '16');
my $all = ($kv->{set_per_s} // 0) + ($kv->{get_per_s} // 0) || 1;
cmp_ok($kv->{set_per_s}, '>', 0, 'kv mixes writes');
cmp_ok(abs($kv->{get_per_s} / $all - 0.9), '<', 0.05, 'with nine times as many reads');
is($kv->{reads_percent}, 90, 'as was asked');

my $restart = bench('restart', 'restart', '--mib', '16', '--times', '1', '--both');
ok($restart->{same_bytes}, 'killed, then stopped politely, all come back with the same bytes');
is(join(' ', map { scalar @{ $restart->{$_} // [] } } qw(ms clean_ms)), '1 1', 'each of them once, timed by itself');

done_testing;
