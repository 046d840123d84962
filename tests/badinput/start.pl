#!/usr/bin/env perl
# Starts that must not happen, each with one line and the right exit status
# (2 for settings, 1 for everything else); and odd surroundings in which a node
# must start all the same.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../scenario/lib";
use Cluster;
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Test::More;

my $top = tempdir('tally-start-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $number = 0;
my $root = $> == 0;

sub ports { return Cluster::free_ports(2) }

# The words of a node alone in a directory.
sub alone {
	my ($dir, @more) = @_;
	my ($client, $peer) = ports();
	return ('--id', 1, '--dir', $dir, '--listen', "127.0.0.1:$client", '--peer-listen', "127.0.0.1:$peer",
		'--space-reserve', '1MiB', '--segment', '1MiB', @more);
}

# Runs a command that must end by itself: (exit status, what it said, by itself?).
sub ends {
	my (@command) = @_;
	my $log = "$top/said" . $number++;
	my $pid = Cluster::spawn($log, @command);
	my $done = Cluster::wait_for(sub { waitpid($pid, WNOHANG) == $pid });
	my $status = $?;
	if (!$done) { kill 'KILL', $pid; waitpid $pid, 0 }
	my $said = Cluster::read_from($log, 0);
	return ($status & 127 ? -($status & 127) : $status >> 8, $said, $done);
}

sub refused {
	my ($name, $code, $pattern, @command) = @_;
	my ($status, $said, $done) = ends(@command);
	my @lines = grep { /^tallyd: / } split /\n/, $said;
	my $fine = $done && $status == $code && @lines == 1 && $lines[0] =~ $pattern;
	ok($fine, $name) or diag "status $status, said:\n$said";
}

# Starts, serves and stops.
sub starts {
	my ($name, @command) = @_;
	my $log = "$top/said" . $number++;
	my $pid = Cluster::spawn($log, @command);
	my $ended = 0;
	my $ready = Cluster::wait_for(sub {
		$ended = 1, return 1 if waitpid($pid, WNOHANG) == $pid;
		return Cluster::read_from($log, 0) =~ / ready /;
	});
	my $said = Cluster::read_from($log, 0);
	my ($port) = $said =~ / port=(\d+)/;
	my $pong = !$ended && $port && eval { Cluster::Client->new($port, timeout => 20)->cmd('PING') };
	if (!$ended) {
		kill 'TERM', $pid;
		Cluster::wait_for(sub { waitpid($pid, WNOHANG) == $pid }) or kill('KILL', $pid), waitpid $pid, 0;
	}
	ok($ready && !$ended && ($pong // '') eq 'PONG', $name) or diag $said;
	return $said;
}

my $tallyd = Cluster::binary();
sub dir { return "$top/d" . $number++ }

# ---- settings (row 105): 2, file:line: reason, nothing started ----

sub config {
	my ($text) = @_;
	my $path = "$top/c" . $number++ . '.conf';
	open my $f, '>', $path or die;
	print $f $text;
	close $f;
	return $path;
}
for my $row (
	['an unknown key', "id = 1\ncolour = red\n", qr/:2: colour: .* no such key/],
	['a line without =', "id = 1\nlisten 127.0.0.1:7401\n", qr/:2: this is no `key = value`/],
	['JSON', qq({"id": 1}\n), qr/:1: this is no `key = value`/],
	['a comment behind a value', "id = 1\ndir = /tmp/tally # data\n", qr/:2: a comment stands on a line of its own/],
	['quotes', qq(id = 1\ndir = "/tmp/tally"\n), qr/:2: values stand without quotes/],
	['a key twice', "id = 1\nid = 1\n", qr/:2: id: .* second time/],
	['a wrong unit', "id = 1\nmemory = 1GB\n", qr/:2: memory: .* wrong unit/],
	['a negative number', "id = -1\n", qr/:1: id: .* negative/],
	['port 0', "id = 1\nlisten = 127.0.0.1:0\n", qr/:2: listen: .* no port/],
	['port 65536', "id = 1\npeer-listen = 127.0.0.1:65536\n", qr/:2: peer-listen: .* no port/],
	['election not over two heartbeats', "id = 1\nelection = 100ms\nheartbeat = 50ms\n", qr/--election: .* heartbeat/],
	['a section', "[tally]\nid = 1\n", qr/:2: \[tally\]/],
	['no pair', "id = 1\nhello\n", qr/:2: /],
	['bytes of no text', "id = 1\n\0\1\2\xff = \xfe\n", qr/:\d+: /],
	['an overlong line', "id = 1\nname = " . 'n' x 1000 . "\n", qr/:2: the line is too long/],
) {
	my $path = config($row->[1]);
	refused("settings: $row->[0]", 2, qr/^tallyd: (?:\Q$path\E)?$row->[2]/, $tallyd, '--config', $path);
}
my @own = ('--id', 1, '--dir', "$top/none", '--member', '1=127.0.0.1:2,127.0.0.1:1');
refused('settings: the two ports exchanged', 2, qr/--listen: 127\.0\.0\.1:2 is the peer address in this node's member line: are listen and peer-listen exchanged\?$/,
	$tallyd, @own, '--listen', '127.0.0.1:2', '--peer-listen', '127.0.0.1:1');
refused('settings: the file is missing', 2, qr/cannot be opened/, $tallyd, '--config', "$top/none.conf");
refused('settings: the file is a directory', 2, qr/cannot be (?:opened|read)/, $tallyd, '--config', $top);
refused('settings: no id', 2, qr/--id: is missing/, $tallyd);
refused('settings: an unknown flag', 2, qr/--nonsense: /, $tallyd, '--id', 1, '--nonsense', 1);
refused('settings: a flag without its value', 2, qr/--id: needs a value/, $tallyd, '--id');
refused('settings: a word too many', 2, qr/is no flag/, $tallyd, '--id', 1, 'serve');
my (undef, $help) = ends($tallyd, '--help');
like($help, qr/--peer-listen HOST:PORT/, 'settings: --help tells them all');

# ---- data directories (row 107): 1, one line ----

refused('dir: the directory above is missing', 1, qr/directory above is not there/, $tallyd, alone("$top/no/such"));
{
	my $file = dir();
	open my $f, '>', $file;
	close $f;
	refused('dir: a file in its place', 1, qr/is no directory/, $tallyd, alone($file));
}
my $used = dir();
starts('dir: an absent directory is made', $tallyd, alone($used));
is((stat $used)[2] & 0777, 0700, 'dir: for its owner only');
starts('dir: and is taken again', $tallyd, alone($used));
chmod 0755, $used;
starts('dir: one that others can read', $tallyd, alone($used));
is((stat $used)[2] & 0777, 0700, 'dir: is closed to them');
refused('dir: of another cluster', 1, qr/is of another cluster/, $tallyd, alone($used, '--cluster', 'other'));
{
	my @words = alone($used);
	$words[1] = 2;
	refused('dir: of another node', 1, qr/is of node 1, this is node 2/, $tallyd, @words, '--member', "2=$words[7],$words[5]");
}
{
	my ($client, $peer) = ports();
	my $log = "$top/said" . $number++;
	my $pid = Cluster::spawn($log, $tallyd, alone($used));
	Cluster::wait_for(sub { Cluster::read_from($log, 0) =~ / ready / });
	refused('dir: locked by a running node', 1, qr/is this node running already/, $tallyd, alone($used));
	kill 'KILL', $pid;
	waitpid $pid, 0;
	starts('dir: and free when that was killed', $tallyd, alone($used));
}
sub edit {
	my ($path, $change) = @_;
	my $text = Cluster::read_from($path, 0);
	open my $f, '>', $path or die;
	print $f $change->($text);
	close $f;
	return $text;
}
{
	my $whole = edit("$used/identity", sub { $_[0] =~ s/tally-data 1/tally-data 9/r });
	refused('dir: of a newer format', 1, qr/newer tallyd/, $tallyd, alone($used));
	edit("$used/identity", sub { $whole =~ s/node 1/node 2/r });
	refused('dir: a damaged identity', 1, qr/checksum is wrong/, $tallyd, alone($used));
	edit("$used/identity", sub { '' });
	refused('dir: an empty identity', 1, qr/is damaged/, $tallyd, alone($used));
	unlink "$used/identity";
	refused('dir: data without identity', 1, qr/is missing, but .* holds data/, $tallyd, alone($used));
	edit("$used/identity", sub { $whole });
	starts('dir: the identity put back', $tallyd, alone($used));
}
refused('dir: empty, and a cluster that is not new', 1, qr/bootstrap = no/, $tallyd, alone(dir(), '--bootstrap', 'no'));
SKIP: {
	skip 'only root can give a directory away', 1 if !$root;
	my $other = dir();
	mkdir $other, 0700;
	chown 12345, -1, $other;
	refused('dir: of another owner', 1, qr/belongs to user 12345/, $tallyd, alone($other));
}
# Small and read-only file systems, in a mount namespace of their own.
my $mounts = $root && system('unshare -m mount -t tmpfs none /mnt >/dev/null 2>&1') == 0;
sub mounted {
	my ($options, $prepare, @command) = @_;
	my $dir = $command[-1];
	return ('unshare', '-m', 'sh', '-c',
		"mount -t tmpfs -o $options none \"\$1\" && $prepare && shift && exec \"\$@\"", 'sh', @command);
}
SKIP: {
	skip 'no mount namespaces here', 2 if !$mounts;
	my $place = dir();
	mkdir $place;
	refused('dir: on a read-only file system', 1, qr/\Q$place\E/,
		mounted('size=64m', 'mount -o remount,ro "$1"', $place, $tallyd, alone("$place/d")));
	refused('dir: on a full disk', 1, qr/no space/,
		mounted('size=1m', 'true', $place, $tallyd, alone("$place/d")));
}

# ---- addresses ----

{
	my $held = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1);
	my @words = alone(dir());
	$words[5] = '127.0.0.1:' . $held->sockport;
	refused('address: the client port is taken', 1, qr/\d+.*in use/i, $tallyd, @words);
	@words = alone(dir());
	$words[7] = '127.0.0.1:' . $held->sockport;
	my ($c2, $p2) = ports();
	refused('address: the peer port is taken', 1, qr/\d+.*in use/i, $tallyd, @words,
		'--member', "1=$words[7],$words[5]", '--member', "2=127.0.0.1:$p2,127.0.0.1:$c2");
	@words = alone(dir());
	$words[5] = '192.0.2.1:7401';
	refused('address: of no interface', 1, qr/192\.0\.2\.1/, $tallyd, @words);
}

{
	my @words = alone(dir());
	my ($other) = ports();
	like(starts('address: a port that is not the member line\'s may be led there from outside', $tallyd, @words, '--member', "1=127.0.0.1:$other,$words[5]"),
		qr/ warn member_line_differs peer-listen=\Q$words[7]\E line=127\.0\.0\.1:$other /, 'address: and is told');
	unlike(starts('address: the member line\'s', $tallyd, alone(dir())), qr/member_line_differs/, 'address: which is not told');
}

# ---- the two commands ----

for my $case (['quickstart', qr/^quickstart: unknown argument 'nothing'/, 'nothing'], ['quickstart', qr/^quickstart: one argument at most/, 'nothing', 'more'],
	['check', qr/^check: unknown tier 'nothing'/, 'nothing'], ['check', qr/^check: one tier at a time/, 'nothing', 'more']) {
	my ($name, $pattern, @words) = @$case;
	my ($status, $said, $done) = ends("$ENV{TALLY_SRC}/$name", @words);
	ok($done && $status == 1 && $said =~ $pattern && ($said =~ tr/\n//) == 1, "command: ./$name @words") or diag "status $status, said:\n$said";
}

# ---- surroundings (row 108) ----

{
	# The database keeps its files open, and how many they will be nobody knows.
	my $log = "$top/said" . $number++;
	my $pid = Cluster::spawn($log, 'sh', '-c', 'ulimit -Sn 1000; ulimit -Hn 3000; exec "$@"', 'sh', $tallyd, alone(dir(), '--max-clients', 100));
	Cluster::wait_for(sub { Cluster::read_from($log, 0) =~ / ready / });
	my ($files) = Cluster::read_from("/proc/$pid/limits", 0) =~ /^Max open files\s+(\d+)/m;
	is($files, 3000, 'surroundings: a node takes all descriptors that it may have');
	kill 'TERM', $pid;
	Cluster::wait_for(sub { waitpid($pid, WNOHANG) == $pid }) or kill('KILL', $pid), waitpid $pid, 0;
}
refused('surroundings: 16 descriptors', 1, qr/ulimit -n/, 'sh', '-c', 'ulimit -n 16; exec "$@"', 'sh', $tallyd, alone(dir()));
SKIP: {
	# Root has no such limit; a user of whom nothing else runs has it to itself.
	my $own = "$top/user";
	chmod 0711, $top;
	mkdir $own;
	my @user = ('setpriv', '--reuid', 64321, '--clear-groups');
	skip 'only root can be another user', 4 if !$root || !chown(64321, -1, $own) || system(@user, 'test', '-x', $tallyd) != 0;
	for my $threads (1, 5, 12) {
		refused("surroundings: $threads threads", 1, qr/only \d+ threads can be made \(ulimit -u, .*\); at least 24 are needed$/, @user,
			'prlimit', "--nproc=$threads", $tallyd, alone("$own/d"));
	}
	starts('surroundings: 25 threads', @user, 'prlimit', '--nproc=25', $tallyd, alone("$own/d"));
}
starts('surroundings: an odd LANG and no HOME', 'env', '-i', 'LANG=xx_YY.NOPE', 'LC_ALL=C.UTF-8', $tallyd, alone(dir()));
starts('surroundings: TZ of nowhere', 'env', 'TZ=Nowhere/Land', $tallyd, alone(dir()));
starts('surroundings: standard input and output closed', 'sh', '-c', 'exec "$@" <&- >&-', 'sh', $tallyd, alone(dir()));
my $fake = (glob '/usr/lib/*/faketime/libfaketime.so.1')[0];
SKIP: {
	skip 'libfaketime is not installed', 2 if !$fake;
	for my $when ('1970-01-01 00:00:10', '2100-01-01 00:00:00') {
		starts("surroundings: the clock says $when", 'env', "LD_PRELOAD=$fake", "FAKETIME=\@$when",
			'DONT_FAKE_MONOTONIC=1', $tallyd, alone(dir()));
	}
}
done_testing;
