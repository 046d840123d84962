#!/usr/bin/env perl
# Rows 58 to 76: what a script may try, through the client port. Each source is pushed
# as a bundle of its own and called. After each row the process lives, holds no more
# descriptors, hardly more memory, wrote nothing it should not, and serves the next request.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../scenario/lib";
use Cluster;
use Test::More;
use Time::HiRes;

my $c = Cluster->new(nodes => 1, flags => ['--election', '2s']);
$c->start(1);
$c->leader;
my $pid = $c->pid(1);
my $port = $c->{client_port}{1};
my $sanitized = Cluster::read_from("/proc/$pid/maps", 0) =~ /lib[at]san/;

sub conn { return Cluster::Client->new($port, timeout => 60) }
sub fds { opendir my $d, "/proc/$pid/fd" or return -1; return scalar grep { /^\d/ } readdir $d }
sub rss_kib { return Cluster::read_from("/proc/$pid/status", 0) =~ /VmRSS:\s+(\d+)/ ? $1 : -1 }

my $tables = q(tables { t = { key = { "k" }, columns = { k = id, n = int, price = optional(money) } } });
my $head = qq(procedure { name = "p", writes = true, args = { a = optional(text) }, result = { v = optional(text), n = optional(int) } }\n);

sub text { my ($said) = @_; return !defined $said ? 'null' : ref $said ? join(' ', map { text($_) } ref $said eq 'HASH' ? %$said : @$said) : $said }
sub push_source { return text(conn()->cmd('TALLY', 'BUNDLE', 'PUSH', 'bad', 'tables.lua', $tables, 'p.lua', $_[0])) }
sub body { return $head . "return function(call)\n$_[0]\nend\n" }

# What the push says; what the call says; what EVAL says.
sub pushed { my ($source, $want) = @_; return sub { my $said = push_source($source); return $said =~ $want ? '' : 'the push said ' . substr $said, 0, 300 } }
sub called {
	my ($lua, $want, @args) = @_;
	return sub {
		my $said = push_source(body($lua));
		return 'the push said ' . substr $said, 0, 300 if $said =~ /^-/;
		$said = text(conn()->cmd('CALL', 'p', @args));
		return $said =~ $want ? '' : 'said ' . substr $said, 0, 300;
	};
}
sub evaled { my ($lua, $want) = @_; return sub { my $said = text(conn()->cmd('EVAL', $lua, '0')); return $said =~ $want ? '' : 'said ' . substr $said, 0, 300 } }
sub absent { my ($what) = @_; return called("return { v = tostring($what) }", qr/\bnil\b|^-SCRIPT_/) }

my ($budget, $memory, $error, $invalid) = (qr/^-BUDGET_EXCEEDED \{"outcome":"refused"/, qr/^-MEMORY_EXCEEDED \{"outcome":"refused"/,
	qr/^-SCRIPT_ERROR \{"outcome":"refused"/, qr/^-SCRIPT_INVALID \{"outcome":"refused"/);
my $ends = qr/^-(?:BUDGET_EXCEEDED|MEMORY_EXCEEDED|SCRIPT_ERROR|RESULT_INVALID|TOO_LARGE) \{"outcome":"refused"/;

my @rows = (
	['58 a syntax error', pushed(body('return {'), qr/^-SCRIPT_INVALID .*p\.lua:\d+/)],
	['58 and nothing is stored', sub { my $said = text(conn()->cmd('CALL', 'p')); return $said =~ /^-NO_SUCH_PROCEDURE/ ? '' : "said $said" }],
	['59 bytecode', pushed("\x1bLua\x54\0\x19\x93", $invalid)],
	['60 a source of nearly 64 KiB', pushed(body('return {}') . '-- ' . 'x' x 65000, qr/^(?!-)/)],
	['60 a source of more', pushed(body('return {}') . '-- ' . 'x' x 70000, qr/^-(?:SCRIPT_INVALID|TOO_LARGE) /)],
	['60 a hundred thousand parentheses', pushed('return ' . '(' x 30000 . '1' . ')' x 30000, $invalid)],
	['60 300 locals', pushed(body(join '', map { "local v$_ = $_\n" } 1 .. 300), $invalid)],
	['60 many constants', pushed(body('local t = {' . join(',', map { $_ * 7 } 1 .. 9000) . '} return { n = #t }'), qr/^/)],
	['61 a loop', called('while true do end', $budget)],
	['62 a loop that catches', called('while true do pcall(function() while true do end end) end', $budget)],
	['63 a pattern bomb', called('return { v = tostring((("a"):rep(26)):find(("a*"):rep(13) .. "b")) }', $budget)],
	(map { ["64 setmetatable with $_", called("setmetatable({}, { $_ = 'k' }) return {}", $error)] } qw(__gc __close __mode)),
	['65 a gigabyte by rep', called('return { n = #(("x"):rep(1 << 30)) }', $ends)],
	['65 a growing table', called('local t = {} while true do t[#t + 1] = { #t } end', $ends)],
	['65 doubling a string', called('local s = "x" while true do s = s .. s end', $ends)],
	['66 recursion', called('local function f() return 1 + f() end return { n = f() }', $ends)],
	['66 two that call each other', called('local f, g function f() return 1 + g() end function g() return 1 + f() end return { n = f() }', $ends)],
	['66 a chain of __index', called('local t = {} for i = 1, 100000 do t = setmetatable({}, { __index = t }) end return { v = tostring(t.x) }', qr/nil|^-/)],
	['67 a comparison that lies', called('local t = {} for i = 1, 200 do t[i] = i * 7919 % 200 end table.sort(t, function() return true end) return {}', qr/^/)],
	['67 unpack of 1e8', called('return { n = select("#", table.unpack({}, 1, 100000000)) }', $ends)],
	['67 select far below', called('return { v = tostring(select(-1000000000, 1)) }', $ends)],
	['67 a wide format', called('return { v = string.format("%99999d", 1) }', $ends)],
	['67 pack of i17', called('return { v = string.pack("i17", 1) }', $ends)],
	(map { ["68 $_", absent($_)] } qw(os io debug package require load loadstring dofile loadfile collectgarbage)),
	['68 a global', called('x = 1 return {}', $error)],
	['68 rawset into string', called('rawset(string, "rep", nil) return {}', $error)],
	['68 the metatable of strings', called('getmetatable("").__index = nil return {}', $error)],
	['68 and the next call sees nothing of it', called('return { v = ("ab"):rep(2) }', qr/abab/)],
	(map { ["69 returns $_->[0]", called("return { v = $_->[1] }", qr/^-(?:RESULT_INVALID|SCRIPT_ERROR) \{"outcome":"refused"/)] }
		['a function', 'function() end'], ['a table', '{}']),
	['69 infinity is not to be had', called('return { v = tostring(math.huge) }', qr/nil/)],
	['69 nor by a number that is too long', called('return { v = tostring(tonumber("1e999")), n = tonumber("1e999") }', qr/^-SCRIPT_ERROR .*whole number/)],
	['69 NaN of EVAL is what Redis makes of it', evaled('return 0 / 0', qr/^-?\d+$/)],
	['69 returns a table in itself', called('local t = {} t.v = t return t', qr/^-RESULT_INVALID/)],
	['69 a million items (EVAL)', evaled('local t = {} for i = 1, 1000000 do t[i] = i end return t', $ends)],
	['70 returns a gigabyte', called('return { v = ("x"):rep(1 << 30) }', $ends)],
	['71 writes 1,025 rows', called('for i = 1, 1025 do db.t:insert { k = "k" .. i, n = i } end return {}', qr/^-TOO_LARGE \{"outcome":"refused"/)],
	['71 reads a million rows', called('for i = 1, 1000000 do db.t:get("k" .. i) end return {}', $budget)],
	['72 an error after five writes', called('for i = 1, 5 do db.t:insert { k = "w" .. i, n = i } end error("on purpose")', qr/^-SCRIPT_ERROR .*on purpose(?!.*0x[0-9a-f]{6})/)],
	['72 wrote nothing', sub { my $said = text(conn()->cmd('ROW', 't', 'w1')); return $said =~ /^(?:null|-NOT_FOUND)/ ? '' : "said $said" }],
	(map { my $n = $_; ["47 ROWS LIMIT $n", sub { my $said = text(conn()->cmd('ROWS', 't', 'LIMIT', $n)); return $said =~ /^-VALIDATION .*LIMIT/ ? '' : "said $said" }] }
		'0', '-1', '10001', 'x'),
	['73 a table that is not declared', pushed(body('db.other:insert { k = "a" } return {}'), $invalid)],
	['73 nor under a name made up on the way', pushed(body('local name = "other" db[name]:insert { k = "a" } return {}'), $invalid)],
	['73 a row by the key-value commands', sub { my $said = text(conn()->cmd('GET', "t\0w1")); return $said eq 'null' ? '' : "said $said" }],
	['74 an argument too many', called('return {}', qr/^-VALIDATION /, 'b', '1')],
	['74 a name without its value', called('return {}', qr/^-VALIDATION /, 'a')],
	['74 the same twice', called('return {}', qr/^-VALIDATION /, 'a', '1', 'a', '2')],
	['75 an unknown procedure', sub { my $said = text(conn()->cmd('CALL', 'no.such')); return $said =~ /^-NO_SUCH_PROCEDURE \{"outcome":"refused".*"reason"/ ? '' : "said $said" }],
	['75 an unknown sha', sub { my $said = text(conn()->cmd('EVALSHA', 'f' x 40, '0')); return $said =~ /^-NOSCRIPT/ ? '' : "said $said" }],
	['76 a power', pushed(body('return { n = 2 ^ 2 }'), $invalid)],
	['76 a float in a money column', called('db.t:insert { k = "m", n = 1, price = tonumber("0.5") } return {}', qr/^-(?:SCRIPT_ERROR|VALIDATION) /)],
	['76 a float literal', pushed(body('local x = 0.1 + 0.2 return {}'), $invalid)],
	['76 2^53 + 1 stays whole', called('return { n = (1 << 53) + 1 }', qr/9007199254740993/)],
);

{
	push_source(body('return { v = "warm" }')) for 1 .. 3;
	text(conn()->cmd('CALL', 'p')) for 1 .. 50;
	called('local t = {} while true do t[#t + 1] = { #t } end', $ends)->();
	evaled('local t = {} for i = 1, 1000000 do t[i] = i end return t', $ends)->();
	conn()->cmd('TALLY', 'BUNDLE', 'PUSH', 'bad', 'tables.lua', $tables, 'q.lua', $head =~ s/"p"/"q"/r . 'return function() return {} end');
}
my $fds = Cluster::wait_for(sub { my $n = fds(); Time::HiRes::sleep(0.1); $n == fds() ? $n : 0 });
my @grown;
for my $row (@rows) {
	my ($name, $run) = @$row;
	my $rss = rss_kib();
	my $wrong = eval { $run->() } // "died: $@";
	my $alive = kill 0, $pid;
	my $works = eval { my $s = conn(); $s->cmd('SET', 'good', $name) eq 'OK' && $s->cmd('GET', 'good') eq $name };
	my $closed = Cluster::wait_for(sub { fds() <= $fds }, 20);
	push @grown, rss_kib() - $rss;
	my @bad = grep { $_ ne '' } $wrong, $alive ? '' : 'the process is gone', $works ? '' : 'the next request fails',
		$closed ? '' : sprintf('descriptors %d -> %d', $fds, fds());
	ok(!@bad, $name) or diag join '; ', @bad;
	last if !$alive;
}
@grown = sort { $a <=> $b } @grown;
my $median = $grown[ @grown / 2 ];
diag sprintf 'memory: median %d KiB a row, most %d', $median, $grown[-1];
ok($sanitized || ($median <= 1024 && $grown[-1] <= 24 * 1024), 'a row leaves at most 1 MiB behind in the median, none more than a script may have and its copy');
my ($code) = $c->term(1);
is($code, 0, 'and in the end it stops politely');
done_testing;
