#!/usr/bin/env perl
# A seed that fails is of use when its line can be run again: what sim prints about it, and that the
# command comes to the same trace. A history that cannot be written is the failure that every seed can have.
use strict;
use warnings;
use JSON::PP;
use Test::More;

my $build = $ENV{TALLY_BUILD} // 'build';

# (exit code, both outputs)
sub sim {
	my ($words) = @_;
	my $text = qx('$build/sim' $words 2>&1);
	return ($? >> 8, $text);
}

my ($code, $text) = sim('--seeds 1 --from 3 --twice --history /nonexistent');
my ($trace, $why) = $text =~ /^FAIL seed 3 trace ([0-9a-f]{16}) .*: (cannot write [^\n]*)$/m;
is($code, 1, 'with a seed that fails sim fails');
is($why, 'cannot write /nonexistent/seed-3.jsonl', 'and says why') or diag($text);
like($text, qr/^# 1 seeds: 1 failed \(0 void\), 0 diverged/m, 'what fails was run twice as well, and the traces were the same');
my ($command, $commit) = $text =~ /^#   replay: (\S+sim --replay 3 .*--log)   \(commit (\w+)\)$/m;
ok($command, 'it prints the command that runs it again');
like($commit // '', qr/^(?:[0-9a-f]{7,}|unknown)$/, 'and the commit');
my $again = qx($command 2>&1);
like($again, qr/^FAIL seed 3 trace $trace .*: cannot write/m, 'which fails the same way, with the same trace') or diag(substr $again, -500);

my $json = eval { decode_json((qx('$build/sim' --seeds 1 --from 3 --json 2>/dev/null))) } // {};
cmp_ok($json->{loaded_hours} // 0, '>', 0, 'the sums tell for how long clients asked');
cmp_ok($json->{loaded_hours} // 0, '<', $json->{simulated_hours} // 0, 'which is not all of the time');
my $speed = ($json->{loaded_hours} // 0) * 3600 / ($json->{cpu_s} || 1);
cmp_ok(abs($speed / ($json->{times_real_time} || 1) - 1), '<', 0.1, 'and only that counts for the speed');

($code, $text) = sim('--nodes 2 --seeds 1');
ok($code == 2 && $text =~ /^usage: /, 'two nodes are no cluster of its kind: usage') or diag("exit $code: $text");
($code, $text) = sim('--faults power,pwoer --seeds 1');
is("$code $text", "2 sim: no fault is called 'pwoer'; --help names them\n", 'a fault that nobody knows is no calm run');
($code, $text) = sim('--faults none --seeds 1');
ok($code == 0 && $text =~ /^ok seed 1 /, '`none` is one') or diag("exit $code: $text");
done_testing;
