#!/usr/bin/env perl
# The tool and the examples against a real cluster: what they print, their exit
# codes, a paused leader, and a whole sale with the leader killed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cluster;
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

my $build = $ENV{TALLY_BUILD} // 'build';
my $src = $ENV{TALLY_SRC} // '.';
my $c = Cluster->new(nodes => 3);
$c->start($_) for $c->ids;
$c->leader;
$ENV{TALLY_SERVERS} = join ',', map { "127.0.0.1:$c->{client_port}{$_}" } $c->ids;
delete $ENV{TMPDIR};

# (exit code, standard output)
sub run {
	my (@words) = @_;
	open my $out, '-|', @words or die "$words[0]: $!";
	local $/;
	my $text = <$out> // '';
	close $out;
	return ($? >> 8, $text);
}
sub tally { return run("$build/tally", @_, '--timeout', '30s') }
# What it prints, and what it says on standard error.
sub like_tally {
	my ($code, $pattern, $name, @words) = @_;
	my ($got, $text) = run('sh', '-c', 'exec "$0" "$@" 2>&1', "$build/tally", @words, '--timeout', '30s');
	ok($got == $code && $text =~ $pattern, $name) or diag("exit $got: $text");
}

# A leader that takes requests and answers none of them: (its pid, its address).
sub mute_leader {
	my $listener = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $!";
	my $address = '127.0.0.1:' . $listener->sockport;
	my $pid = fork // die "fork: $!";
	return ($pid, $address) if $pid;
	my $status = "%3\r\n+role\r\n+leader\r\n+term\r\n:1\r\n+leader_client\r\n\$" . length($address) . "\r\n$address\r\n";
	my $select = IO::Select->new($listener);
	while (1) {
		for my $socket ($select->can_read) {
			if ($socket == $listener) {
				$select->add($listener->accept);
			} elsif (!sysread $socket, my $bytes, 65536) {
				$select->remove($socket);
				close $socket;
			} else {
				syswrite $socket, $1 eq 'HELLO' ? "%1\r\n+proto\r\n:3\r\n" : $status while $bytes =~ /\r\n(HELLO|STATUS)\r\n/g;
			}
		}
	}
}

# Nodes that answer when all of them have been asked, and not before: (their pid, their addresses).
sub patient_nodes {
	my ($count) = @_;
	my @listeners = map { IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $!" } 1 .. $count;
	my @addresses = map { '127.0.0.1:' . $_->sockport } @listeners;
	my $pid = fork // die "fork: $!";
	return ($pid, @addresses) if $pid;
	my $select = IO::Select->new(@listeners);
	my (%node, %asked, @waiting);
	while (1) {
		for my $socket ($select->can_read) {
			if (my ($i) = grep { $socket == $listeners[$_] } 0 .. $#listeners) {
				my $client = $socket->accept;
				$node{$client} = $i;
				$select->add($client);
			} elsif (!sysread $socket, my $bytes, 65536) {
				$select->remove($socket);
				@waiting = grep { $_ != $socket } @waiting;
				close $socket;
			} else {
				syswrite $socket, "%1\r\n+proto\r\n:3\r\n" if $bytes =~ /\r\nHELLO\r\n/;
				next if $bytes !~ /\r\nSTATUS\r\n/;
				$asked{$node{$socket}} = 1;
				push @waiting, $socket;
				next if keys %asked < $count;
				syswrite $_, "%4\r\n+role\r\n+leader\r\n+term\r\n:1\r\n+name\r\n+n$node{$_}\r\n+incarnation\r\n+i$node{$_}\r\n" for splice @waiting;
			}
		}
	}
}

# A bench that lasts, meanwhile; its end is waited for below. Nothing of it is measured.
open my $capacity, '-|', "$build/tally", 'bench', 'flash', '--local', '1', '--seconds', '10', '--connections', '1', '--depth', '1',
	'--bundle', "$src/commerce", '--unsafe', '--tallyd', '--memory=4GiB --memtable=1GiB --flush-bytes=1GiB' or die "tally: $!";

# ---- keys ----
like_tally(0, qr/^done in /, 'set says how long it took', 'set', 'word', 'hello world');
like_tally(0, qr/^hello world$/, 'get prints the bytes as they are', 'get', 'word');
like_tally(0, qr/^word\thello world$/m, 'range prints keys and values', 'range', 'w');
is_deeply([run('sh', '-c', "'$build/tally' get word --servers 127.0.0.1:1 --timeout 100ms 2>/dev/null")], [5, ''],
	'what failed is no value: it is told on standard error');
like_tally(0, qr/^1 removed$/, 'del counts', 'del', 'word', 'nothing');
my ($code, $text) = run('sh', '-c', "'$build/tally' set kept value && '$build/tally' set kept - 2>&1 < /; '$build/tally' get kept");
like($text, qr/^tally set: cannot read standard input: .*\nvalue\z/m, 'standard input that cannot be read is no empty value');
($code, $text) = run('sh', '-c', "'$build/tally' get word --timeout 30s 2>&1");
ok($code == 3 && $text =~ /no key "word" in database 0/, 'a key that is not there is told, and where it was looked for') or diag("exit $code: $text");
like_tally(0, qr/^null$/, 'JSON for programs', 'get', 'word', '--json');
like_tally(0, qr/3 of 3 nodes answer; one leads/, 'status shows every node', 'status');
like_tally(0, qr/^n1 +localhost:(?!.*^n1 ).*^3 of 3 nodes answer; one leads$/ms, 'a node is one line, by whatever name it was found', 'status',
	'--servers', "localhost:$c->{client_port}{1},127.0.0.1:$c->{client_port}{2}");
like_tally(0, qr/the same bytes on every node/, 'hash compares the nodes', 'hash');
my ($patient, @patient) = patient_nodes(3);
like(`$build/tally status --servers @{[join ',', @patient]} 2>&1`, qr/^3 of 3 nodes answer/m, 'all nodes are asked at once, not one behind the other');
kill 'KILL', $patient;

# ---- procedures ----
like_tally(0, qr/^active: commerce\@1: 5 procedures$/, 'script push deploys the bundle', 'script', 'push', "$src/commerce");
like(`$build/tally script push $src/commerce other --timeout 30s 2>&1`, qr/: commerce\@1 is active, and its procedures would be gone: .*--replace$/,
	'a bundle of another name does not take its place unasked');
like_tally(0, qr/^active: other\@2: 5 procedures$/, 'asked to it does', 'script', 'push', "$src/commerce", 'other', '--replace');
like_tally(0, qr/^active: commerce\@3: 5 procedures$/, 'and back', 'script', 'push', "$src/commerce", '--replace');
like_tally(0, qr/^fine: commerce$/, 'script check compiles it', 'script', 'check', "$src/commerce");
like(`b=\$(realpath '$build/tally') && cd '$src/commerce' && "\$b" script check . --timeout 30s`, qr/^fine: commerce$/, 'also from inside of its directory');
like_tally(0, qr/^order\.flash_buy\s+writes  once=order_id/m, 'script list shows the procedures', 'script', 'list');
like_tally(0, qr/^avail 58 · /, 'a campaign is made', 'call', 'campaign.allot', 'allot_id=a1', 'campaign=11.11', 'sku=phone-x',
	'qty=58', 'from_ms=1', 'until_ms=1999999999999', 'per_customer=1', 'price=199900', 'pay_ttl_ms=900000');
my @buy = ('call', 'order.flash_buy', 'campaign=11.11', 'sku=phone-x', 'customer=c7');
like_tally(0, qr/^number 1 · total 1999\.00 CNY · pay_by \d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d \(in 1[45] min \d+ s\) · left 57\ndone in \S+ \S+ · index \d+\.\d+ · node n\d · commerce\@3$/,
	'a purchase is printed for people', @buy, 'order_id=o-1001', 'qty=1');
like_tally(0, qr/^number 1 .* · replayed, first done .* ago$/s, 'the same line again is replayed', @buy, 'order_id=o-1001', 'qty=1');
like_tally(3, qr/^refused: PURCHASE_LIMIT_EXCEEDED bought=1 max=1 · nothing was written$/, 'a refusal is exit 3', @buy,
	'order_id=o-1002', 'qty=1');
like_tally(4, qr/^conflict: INSUFFICIENT_STOCK available=57 /, 'a conflict is exit 4', 'call', 'campaign.allot', 'allot_id=a2',
	'campaign=11.11', 'sku=phone-x', 'qty=-100');
like_tally(0, qr/a dry run: nothing was written/, 'a dry run writes nothing', 'call', 'order.flash_buy', 'campaign=11.11',
	'sku=phone-x', 'customer=c8', 'order_id=o-1003', 'qty=1', '--dryrun');
like_tally(0, qr/^order_id o-1001 · number 1 · /, 'row prints one row', 'row', 'order', 'o-1001');
like_tally(0, qr/\A[^\n]*o-1001[^\n]*\n\z/, 'rows prints them all', 'rows', 'order');
($code, $text) = tally('call', 'order.get', 'order_id=o-1001', '--json');
my $json = eval { decode_json($text) } // {};
is($json->{result}{total}, 199900, 'the JSON of a call has its result');
like($json->{meta}{index} // '', qr/^\d+\.\d+$/, 'and its index');
($code, $text) = tally('call', 'order.get', 'order_id=nope', '--json');
is_deeply([$code, (eval { decode_json($text) } // {})->{code}], [3, 'NOT_FOUND'], 'the JSON of a refusal has its code');
is((run("$build/tally", 'get', 'x', '--servers', '127.0.0.1:1', '--timeout', '200ms'))[0], 5, 'nobody there is exit 5');
for my $command ('status', 'hash') {
	($code, $text) = run('sh', '-c', "'$build/tally' $command --json --servers 127.0.0.1:1 --timeout 200ms 2>/dev/null");
	my $nodes = eval { decode_json($text) } // [];
	ok($code == 5 && @$nodes == 1 && $nodes->[0]{address} eq '127.0.0.1:1' && !$nodes->[0]{status} && !$nodes->[0]{hash},
		"and JSON that names it: $command") or diag("exit $code: $text");
}
is((run('sh', '-c', "'$build/tally' bench kv --nodes 127.0.0.1:1 --timeout 200ms --seconds 1 2>/dev/null"))[0], 5, 'nor is anything measured there');
is((run('sh', '-c', "'$build/tally' bench kv --nodes 127.0.0.1:1 --seconds 0 2>/dev/null"))[0], 2, 'nor in no time');
for my $command ('get x', 'status', 'hash') {
	my ($name) = split / /, $command;
	my $said = `$build/tally --servers foo $command 2>&1`;
	is_deeply([$? >> 8, $said], [2, qq(tally $name: --servers: "foo" is not host:port\n)], "addresses that make no sense are exit 2: $name");
}

# A sale that stays says what it leaves behind, and how to be rid of it.
{
	my $dir = "$c->{dir}/stays";
	($code, $text) = run("$build/tally", 'bench', 'sale', '--local', '1', '--units', '10', '--buyers', '20', '--keep', '--unsafe', '--dir', $dir,
		'--bundle', "$src/commerce");
	my ($pid) = $text =~ /^Stop it with: kill (\d+)$/m;
	like($text, qr/^Then \d+ MiB stay behind: rm -r \Q$dir\E\n\z/m, 'the last line of a sale that stays is what stays');
	kill 'KILL', $pid if $pid;
}

my ($mute, $address) = mute_leader();
($code, $text) = run('sh', '-c', "'$build/tally' set x y --servers $address --timeout 500ms 2>&1");
ok($code == 6 && $text =~ /^unknown: .* it may have happened; ask again with the same id$/, 'a write that is never answered is exit 6')
	or diag("exit $code: $text");
($code, $text) = run('sh', '-c', "'$build/tally' call p --servers $address --timeout 500ms 2>&1");
ok($code == 5 && $text =~ /^retry: .* nothing was written$/, 'a call does not begin behind a question that took all its time') or diag("exit $code: $text");
kill 'KILL', $mute;
waitpid $mute, 0;
is((run("$build/tally", '--servers', '127.0.0.1:1', '--timeout=200ms', 'get', 'x'))[0], 5, 'options may stand in front of the command');
like(`$build/tally bench 2>&1`, qr/^tally: "bench" needs one of: flash, .*restart$/, 'half a command tells the other half');
like(`$build/tally --nodes n1:7401 status 2>&1`, qr/^tally: --nodes is no flag of every command: /, 'a flag in front that no command knows is named');
like(`$build/tally --json foo 2>&1`, qr/^tally: "foo" is no command; /, 'one that all know is not');
like(`$build/tally -h`, qr/^usage: tally COMMAND/, '-h helps');
like(`$build/tally help bench kv`, qr/^usage: tally bench kv /, 'and so does help in front of a command');
like(`$build/tally get k --servers 127.0.0.1:1 --timeout 200ms 2>&1`, qr/^retry: .* no node was reached .*\nasked: 127\.0\.0\.1:1 /,
	'when nobody answers it says whom it asked');
like(`$build/tally get k --servers 127.0.0.1:1,two..dots:1 --timeout 200ms 2>&1`, qr/^the name "two\.\.dots" leads nowhere: \w.*\n(?!the name)/m,
	'and which of the names is none');
like(`$build/tally foo bar 2>&1`, qr/^tally: "foo" is no command; /, 'no command at all says so in one line');

# ---- words and flags that nobody wants ----
for my $words (['status', 'please'], ['bench', 'sale', 'kill-leader'], ['bench', 'flash', '--kill-leader'], ['bench', 'kv', '--reads', '101'],
	['bench', 'sale', '--report'], ['script', 'list', 'commerce'], ['call'], ['get'], ['call', 'order.get', 'order_id=o-1', '--once', '--dryrun'],
	['bench', 'failover', '--nodes', '127.0.0.1:1'],
	['script', 'push', "''"], ['script', 'push', "$src/commerce", '--servers', 'foo']) {
	($code, $text) = run('sh', '-c', "'$build/tally' @$words 2>&1");
	ok($code == 2 && $text =~ /^tally [^\n]+\n\z/, "usage in one line, exit 2: @$words") or diag("exit $code: $text");
}
like((run("$build/tally", 'status', '--help'))[1], qr/\Ausage: tally status \[--flag …\]\n.*--timeout TIME .*\(5s\)$/ms,
	'help says what time a command has');
like((run("$build/tally", 'hash', '--help'))[1], qr/--timeout TIME .*\(60s\)$/m, 'one that takes long says its own');
like((run("$build/tally", 'bench', 'overload', '--help'))[1], qr/--connections N +to the leader \(64\)$/m, 'help tells the defaults that hold');

# ---- the completion of bash knows every command and every flag of its help ----
sub offered {
	my (@typed) = @_;
	local $ENV{PATH} = "$build:$ENV{PATH}";
	return run('bash', '-c',
		'. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; _tally; printf "%s\n" "${COMPREPLY[@]}"',
		"$src/client/tool/completion/tally", @typed);
}
my ($known, $help) = ('', '');
for my $line (split /\n/, (run("$build/tally", '--help'))[1]) {
	my ($command) = $line =~ /^  ([a-z]+(?: [a-z]+)?)(?: | {2,}|$)/ or next;
	my @words = split ' ', $command;
	pop @words if @words == 2 && $words[0] !~ /^(?:script|bench)$/;
	my @first = offered('tally', (@words == 2 ? $words[0] : ()), '');
	$known .= " $command" if $first[1] !~ /^\Q$words[-1]\E$/m;
	my %flags = map { $_ => 1 } split /\n/, (offered('tally', @words, '--'))[1];
	$help .= join '', map { " @words $_" } grep { !$flags{$_} } (run("$build/tally", @words, '--help'))[1] =~ /^  (--[a-z-]+)/mg;
}
is($known, '', 'the completion offers each command');
is($help, '', 'and each flag of each');
is((offered(qw(tally --json --servers 127.0.0.1:1 scr)))[1], "script\n", 'and what comes behind flags');
is((offered(qw(tally --servers 127.0.0.1:1 bench fl)))[1], "flash\n", 'the second word, too');
is((offered('tally', '--servers', $ENV{TALLY_SERVERS}, 'call', 'order.'))[1], "order.flash_buy\norder.get\n", "the cluster's procedures");
is((offered('tally', '--servers', '127.0.0.1:1', 'call', ''))[1], "\n", 'and nothing when no cluster answers');

# ---- examples ----
my $servers = $ENV{TALLY_SERVERS};
is_deeply([run("$build/client/examples/hello", $servers)], [0, "hello\n"], 'the example hello');
like((run("$build/client/examples/outcomes", $servers))[1], qr/done.*IDEMPOTENCY_KEY_REUSED.*retry/s, 'the example outcomes');
like((run("$build/client/examples/order", $servers, '11.11', 'phone-x', 'c9', 'o-9'))[1], qr/^order o-9: number \d+$/, 'the example order');
like((run("$build/client/examples/order", $servers, '11.11', 'phone-x', 'c9', 'o-9'))[1], qr/it had been placed before/, 'which is placed once');
like((run("$build/client/examples/flash_buy", $servers, '11.11', 'phone-x', '5'))[1], qr/sold 5, refused 0, other 0/, 'the example flash_buy');

# ---- a paused leader ----
my $leader = $c->leader;
kill 'STOP', $c->pid($leader);
my $begin = time;
like_tally(0, qr/^done in /, 'a paused leader is got round', 'set', 'paused', 'yes');
note(sprintf 'a new client was served %.2f s after the pause began', time - $begin);
kill 'CONT', $c->pid($leader);
like_tally(0, qr/^yes$/, 'and it does no harm when it wakes', 'get', 'paused');

# ---- leadership ----
like_tally(0, qr/another node leads/, 'transfer hands leadership over', 'transfer');
like_tally(0, qr/\A"OK"\n\z/, 'and says so to programs', 'transfer', '--json');

# ---- a node that is away ----
my $away = $c->leader == 1 ? 2 : 1;
$c->kill9($away);
# It has a minute for each, and 40 rounds.
($code, $text) = run('timeout', '45', "$build/tally", 'hash');
ok($code == 1 && $text =~ /does not answer/ && $text =~ /^the same bytes on the 2 nodes that answer; 1 does not$/m,
	'hash does not wait its whole time for a node that is away, names it, and does not call the others unequal') or diag("exit $code: $text");
like_tally(3, qr/^refused: ERR member $away is not connected: node \d leads on/,
	'a transfer to a member that is away is refused at once: nothing is written while one waits', 'transfer', $away);
{
	my $dir = tempdir(CLEANUP => 1);
	my ($peer) = Cluster::free_ports(1);
	my $pid = Cluster::spawn("$dir/log", "$build/tallyd", '--id', $away, '--dir', "$dir/d", '--listen',
		"127.0.0.1:$c->{client_port}{$away}", '--peer-listen', "127.0.0.1:$peer", '--member',
		"$away=127.0.0.1:$peer,127.0.0.1:$c->{client_port}{$away}");
	Cluster::wait_for(sub { Cluster::read_from("$dir/log", 0) =~ / leading / });
	my ($alone, $third) = map { "127.0.0.1:$c->{client_port}{$_}" } $away, 3;
	for my $given ($third, "$alone,$third") {
		like_tally(1, qr/^3 of 3 nodes answer; 2 lead$/m, 'a member that was started without the other member lines leads alone, and status says so',
			'status', '--servers', $given);
	}
	like_tally(1, qr/^who the members are: they do not agree, so they are no one cluster \(.*\)$(?=.*^  \Q$alone\E: \d=\S+$)(?=.*^  \S+, \S+: 1=\S+ 2=\S+ 3=\S+$)/ms,
		'and which node knows which members', 'status', '--servers', "$alone,$third");
	($code, $text) = run('sh', '-c', "'$build/tally' status --json --servers $alone,$third 2>&1 >/dev/null");
	like($text, qr/\Atally status: who the members are: they do not agree.*\n  /, 'a program finds that on standard error');
	kill 'KILL', $pid;
	waitpid $pid, 0;
}

# ---- a node without space ----
{
	my ($client, $peer) = Cluster::free_ports(2);
	my $dir = tempdir(CLEANUP => 1);
	my $pid = Cluster::spawn("$dir/log", "$build/tallyd", '--id', 1, '--dir', "$dir/d", '--listen', "127.0.0.1:$client",
		'--peer-listen', "127.0.0.1:$peer", '--space-reserve', '60000GiB');
	Cluster::wait_for(sub { Cluster::read_from("$dir/log", 0) =~ / leading / });
	like(`$build/tally set k v --servers 127.0.0.1:$client --timeout 1s 2>&1`, qr/^retry: .* the last one was NO_SPACE: the disk is nearly full/,
		'when the time is up it says why a node said later');
	like(`$build/tally status --servers 127.0.0.1:$client`, qr/^n1 .* disk nearly full: \d+ MiB free, writes need 92160000$/m,
		'status says whose disk it is, and how much must be free');
	like(Cluster::Client->new($client)->cmd('INFO', 'persistence'), qr/^aof_last_write_status:err\r\n.*^space_low:1\r$/ms, 'and so does INFO');
	like(Cluster::read_from("$dir/log", 0), qr/ warn space_low .* writes are refused: free space, or on a small disk set space-reserve and segment smaller$/m,
		'the log says it once, and what to do');
	kill 'KILL', $pid;
	waitpid $pid, 0;
}

# ---- a bundle's own tests, and a sale ----
($code, $text) = run("$build/tally", 'script', 'test', "$src/commerce");
ok($code == 0 && $text =~ /^1\.\.\d+$/m && $text !~ /^not ok/m, "the commerce bundle's own tests pass") or diag($text);
my $bundle = tempdir(CLEANUP => 1) . '/commerce';
system 'cp', '-r', "$src/commerce", $bundle;
my $test = sub {
	my ($lines) = @_;
	open my $out, '>', "$bundle/tests/sale.test" or die $!;
	print $out $lines;
	close $out;
	my ($status, $said) = run("$build/tally", 'script', 'test', $bundle);
	return "$status $said";
};
like($test->("call order.get order_id=no\ndone\n"), qr/^1 .*^not ok 1 /ms, 'lines without a title are no test that passes');
like($test->("# nothing is expected\ncall order.get order_id=no\n"), qr/^1 .*^not ok 1 /ms, 'nor is a call of which nothing is expected');
like($test->("\n"), qr/^1 .*^not ok 1 /ms, 'nor is an empty file');
like($test->("# a\ncall order.get order_id=" . 'o' x 2000 . "\nrefused VALIDATION\n"), qr/^1 .*too long.*^not ok 1 /ms,
	'nor one of which only a part is read');
like($test->("# blanks\ncall order.get order_id='a b'\nrefused NOT_FOUND table=order\ncall order.get order_id=o'clock\nrefused NOT_FOUND\n"),
	qr/^0 ok 1 /, "a value with blanks stands in '…'");
like($test->("# open\ncall order.get order_id='a b\nrefused NOT_FOUND\n"), qr/^1 .*no ' ends .*^not ok 1 /ms, 'and one that does not end is told');
symlink "$bundle/gone.lua", "$bundle/order/cancel.lua" or die "symlink: $!";
like_tally(2, qr{: cannot read \Q$bundle\E/order/cancel\.lua: No such file}, 'a file that cannot be read is not left out of a bundle',
	'script', 'check', $bundle);
unlink "$bundle/order/cancel.lua" or die "unlink: $!";
SKIP: {
	skip 'no memory file system at /dev/shm', 1 if qx(stat -f -c %T /dev/shm 2>/dev/null) ne "tmpfs\n";
	my $memory = "/dev/shm/tally-tool-$$";
	($code, $text) = run('sh', '-c', "'$build/tally' bench kv --local 1 --seconds 1 --dir $memory 2>&1");
	ok($code == 2 && $text =~ /is on tmpfs, which is no disk/ && !-e $memory, 'a bench refuses a memory file system') or diag("exit $code: $text");
}
$text = do { local $/; <$capacity> };
close $capacity;
$code = $? >> 8;
ok($code == 1 && $text =~ /^NO CAPACITY RUN: a node flushed no memtable$/m && $text =~ /^oversold: 0 · lost: 0, of [1-9]/m,
	'a flash bench of ten seconds in which no memtable was flushed is none') or diag("exit $code: $text");
($code, $text) = run("$build/tally", 'bench', 'sale', '--bundle', "$src/commerce", '--local', '3', '--units', '500', '--buyers', '2000', '--kill-leader',
	'--json', '--unsafe');
$json = eval { decode_json($text) } // {};
ok($code == 0 && $json->{holds}, 'every invariant of a sale holds when the leader is killed') or diag($text);
is_deeply([@$json{qw(sold oversold lost doubled)}], [500, 0, 0, 0], 'sold to the last unit, none oversold, lost or doubled');
if (-d "$build/figures") {
	open my $out, '>', "$build/figures/sale.json" or die "sale.json: $!";
	print $out $text;
	close $out;
}
cmp_ok($json->{under_way_at_kill} // 0, '>', 0, 'with requests under way at the kill');

done_testing;
