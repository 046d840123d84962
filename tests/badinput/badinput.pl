#!/usr/bin/env perl
# What the outside may throw at the client port: one table. After each row the
# node lives, holds no more descriptors, hardly more memory, and serves the next
# good request.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../scenario/lib";
use Cluster;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time sleep);

# Ten thousand connections need as many descriptors here too; a shell may raise what it has, within the hard limit.
if (!$ENV{TALLY_RAISED}) {
	$ENV{TALLY_RAISED} = 1;
	exec 'sh', '-c', 'ulimit -n 20000 2>/dev/null || ulimit -n "$(ulimit -Hn)"; exec "$@"', 'sh', $^X, $0, @ARGV;
}

my $SEED = $ENV{TALLY_SEED} // 20261127;
srand $SEED;
diag "seed $SEED";

# Two nodes' worth of attack surface is one node: alone it leads itself.
my $c = Cluster->new(nodes => 1, flags => ['--election', '2s', '--max-clients', '10000']);
$c->start(1);
$c->leader;
my $pid = $c->pid(1);
my $port = $c->{client_port}{1};
my $RSS_KIB = 1024;
# A sanitizer keeps freed memory back to find its use.
my $sanitized = Cluster::read_from("/proc/$pid/maps", 0) =~ /lib[at]san/;
diag 'sanitized: memory is not looked at' if $sanitized;

sub conn { return Cluster::Client->new($port, timeout => $_[0] // 30) }
sub bulk { return Cluster::Client::encode(@_) }

sub fds { opendir my $d, "/proc/$pid/fd" or return -1; return scalar grep { /^\d/ } readdir $d }

sub rss_kib {
	open my $f, '<', "/proc/$pid/status" or return -1;
	local $/;
	return <$f> =~ /VmRSS:\s+(\d+)/ ? $1 : -1;
}

# Sent; all that comes until the node closes. undef: it did not close.
sub until_closed {
	my ($bytes, $seconds) = @_;
	my $s = conn();
	eval { $s->raw($bytes) };
	return $s->rest($seconds // 30);
}

# Row makers. Each returns a sub that returns '' when fine, else what was wrong.
sub answers_then_closes {
	my ($bytes, $want) = @_;
	return sub {
		my $got = until_closed($bytes) // return 'was not closed';
		return $got eq $want ? '' : 'said ' . substr($got, 0, 200) =~ s/\r?\n/|/gr;
	};
}
# As a client that reads nothing before it has sent all.
sub lets_finish_then_closes {
	my ($bytes, $want) = @_;
	return sub {
		my $s = conn();
		eval { $s->raw($bytes); 1 } or return "was cut off: $@";
		my $got = $s->rest(30) // return 'was not closed';
		return $got eq $want ? '' : 'said ' . substr($got, 0, 200) =~ s/\r?\n/|/gr;
	};
}
sub closes { return answers_then_closes($_[0], '') }
sub keeps {
	my ($bytes, $want) = @_;
	return sub {
		my $s = conn();
		$s->raw($bytes . bulk('ECHO', 'end'));
		my $got = '';
		eval { $s->fill(time + 30), $got = $s->{in} while $got !~ /\$3\r\nend\r\n\z/; 1 } or return "broke: $@";
		$got =~ s/\$3\r\nend\r\n\z//;
		return $got eq $want ? '' : 'said ' . substr($got, 0, 200) =~ s/\r?\n/|/gr;
	};
}
# Silent and half sent: goes when the client goes.
sub abandons {
	my ($bytes) = @_;
	return sub { my $s = conn(); $s->raw($bytes); $s->close; return '' };
}
# Whatever: the checks behind the row are the test.
sub throws {
	my ($bytes) = @_;
	return sub {
		my $s = conn();
		eval { $s->raw(ref $bytes ? $bytes->() : $bytes) };
		$s->shut;
		$s->rest(5);
		return '';
	};
}

my $proto = '-ERR Protocol error: ';
my $too_large = '-TOO_LARGE {"outcome":"refused","reason":"the arguments of one request are over 1,310,720 bytes: do it in ' .
	'smaller parts, on a new connection"}' . "\r\n";
my $max = 1048576;

sub random_bytes { return join '', map { chr int rand 256 } 1 .. $_[0] }
sub random_resp {
	my ($rounds) = @_;
	my @piece = ('*', '$', ':', '+', '-', "\r\n", "\r", "\n", '1', '2', '-1', '99999999999999999999', '3', 'GET', 'SET',
		'MULTI', 'EXEC', 'k', "\0", "\xff", '"', "'", '%', '~', '_', ',', '#', '(', '=', '>', ' ');
	return join '', map { $piece[rand @piece] } 1 .. $rounds;
}

my @rows = (
	['1 nothing, then close', abandons('')],
	['2 one byte, then close', abandons('*')],
	['2 half a head, then close', abandons("*3\r\n\$3\r\nSE")],
	['3 a request byte by byte', sub {
		my $s = conn();
		for my $byte (split //, bulk('SET', 'slow', 'bytes')) { $s->raw($byte); sleep 0.001 }
		return $s->read eq 'OK' ? '' : 'not answered';
	}],
	['4 a wrong type byte inside a request', answers_then_closes("*1\r\n:5\r\n", "${proto}expected '\$', got ':'\r\n")],
	['4 a reply as a request', keeps("+OK\r\n", "-ERR unknown command '+OK', with args beginning with: \r\n")],
	['4 a push as a request', keeps(">1\r\n", "-ERR unknown command '>1', with args beginning with: \r\n")],
	['4 a map as a request', keeps("%1\r\n", "-ERR unknown command '%1', with args beginning with: \r\n")],
	['5 HELLO 1', keeps(bulk('HELLO', '1'), "-NOPROTO unsupported protocol version\r\n")],
	['5 HELLO 4', keeps(bulk('HELLO', '4'), "-NOPROTO unsupported protocol version\r\n")],
	['5 HELLO 2^63', keeps(bulk('HELLO', '9223372036854775808'), "-ERR Protocol version is not an integer or out of range\r\n")],
	['6 a request of no words', keeps("*0\r\n", '')],
	['6 a request of -1 words', keeps("*-1\r\n", '')],
	['6 a thousand empty lines', keeps("\r\n" x 1000, '')],
	['7 a value of 1 MiB', sub {
		my $s = conn();
		return 'SET ' . $s->cmd('SET', 'big', 'v' x $max) if $s->cmd('SET', 'big', 'v' x $max) ne 'OK';
		return length($s->cmd('GET', 'big')) == $max && $s->cmd('DEL', 'big') == 1 ? '' : 'not read back';
	}, 8 * $RSS_KIB],
	['8 a value of 1 MiB and a byte', sub {
		my $said = conn()->cmd('SET', 'big', 'v' x ($max + 1));
		return $said =~ /^-TOO_LARGE \{"outcome":"refused"/ ? '' : "said $said";
	}, 8 * $RSS_KIB],
	['8 a bulk length over the bound', answers_then_closes("*2\r\n\$3\r\nGET\r\n\$1310721\r\n", $too_large)],
	['8 words that are too much together', answers_then_closes("*3\r\n\$3\r\nSET\r\n\$1310700\r\n" . 'x' x 1310700 . "\r\n\$1000\r\n",
		$too_large), 8 * $RSS_KIB],
	['8 a value of 40 MiB, sent whole', lets_finish_then_closes(bulk('SET', 'big', 'v' x (40 << 20)), $too_large), 8 * $RSS_KIB],
	['8 a value of 12 MiB in a pipeline', lets_finish_then_closes(bulk('SET', 'p', 1) . bulk('SET', 'big', 'v' x (12 << 20)) . bulk('GET', 'p') x 50000,
		"+OK\r\n$too_large"), 8 * $RSS_KIB],
	(map { my $n = $_; ["9 bulk length $n", answers_then_closes("*1\r\n\$$n\r\n", "${proto}invalid bulk length\r\n")] }
		'-1', '-2', '2147483647', '2147483648', '4294967295', '9223372036854775807', '9223372036854775808',
		'18446744073709551616', '1e3', '+1', '0x10', ' 1', ''),
	(map { my $n = $_; ["9 multibulk length $n", answers_then_closes("*$n\r\n", "${proto}invalid multibulk length\r\n")] }
		'1048577', '2147483647', '2147483648', '9223372036854775807', '9223372036854775808', '1e3', 'x'),
	['9 a million words announced, then close', abandons("*1048576\r\n\$4\r\nMGET\r\n")],
	['9 a million empty words', sub {
		my $s = conn();
		$s->raw("*1048576\r\n\$3\r\nDEL\r\n" . "\$0\r\n\r\n" x 1048575);
		my $said = $s->read;
		return $said =~ /^(?:\d+|-\w+ )/ ? '' : "said $said";
	}, 40 * $RSS_KIB],
	['10 a missing line end behind a bulk', throws("*2\r\n\$3\r\nGETxx\$1\r\nk\r\n")],
	['12 a body shorter than told, then close', abandons("*3\r\n\$3\r\nSET\r\n\$4\r\ncut1\r\n\$100\r\nshort")],
	['12 was not run', sub { return defined conn()->cmd('GET', 'cut1') ? 'it was' : '' }],
	['13 bytes behind a bulk are the next request', throws("*1\r\n\$4\r\nPINGPING\r\n")],
	['14 an unknown command', keeps(bulk('NOSUCH', 'a'), "-ERR unknown command 'NOSUCH', with args beginning with: 'a' \r\n")],
	['14 a name with line ends in it', keeps(bulk("a\r\nb"), "-ERR unknown command 'a  b', with args beginning with: \r\n")],
	['14 an unknown command of 1 MiB', sub {
		my $said = conn()->cmd('x' x $max);
		return $said =~ /^-ERR unknown command 'x{128}'/ && length $said < 400 ? '' : 'said ' . substr $said, 0, 300;
	}, 8 * $RSS_KIB],
	['16 two requests in one segment', keeps(bulk('PING') . bulk('PING'), "+PONG\r\n+PONG\r\n")],
	['16 one request in a thousand segments', sub {
		my $s = conn();
		my $bytes = bulk('SET', 'cut', 'c' x 4000);
		for my $part ($bytes =~ /(.{1,4})/gs) { $s->raw($part) }
		return $s->read eq 'OK' ? '' : 'not answered';
	}],
	['17 ten thousand requests, answers not read', sub {
		my $s = conn();
		$s->cmd('SET', 'wide', 'w' x 4096);
		my $sent = 0;
		my $text = bulk('GET', 'wide');
		$s->cmd('SET', 'wide', 'w' x 32768);
		my $before = rss_kib();
		$s->socket->blocking(0);
		for (1 .. 10000) { my $n = syswrite $s->socket, $text; last if !defined $n || $n < length $text; $sent++ }
		# 320 MB of answers were asked for: one MiB that nobody takes, and what came with it in a turn, and the node reads no more.
		my $held = 0;
		for (1 .. 10) { sleep 0.1; my $now = rss_kib(); $held = $now if $now > $held }
		$s->close;
		return "only $sent sent" if $sent < 10000;
		return sprintf '%d KiB were held', $held - $before if !$sanitized && $held - $before > 12 * 1024;
		return '';
	}, 12 * $RSS_KIB],
	['17 a slow reader gets all of it in the end', sub {
		my $s = conn(60);
		$s->cmd('SET', 'wide', 'w' x 100000);
		my $count = 200;
		if (my $child = fork) {
			my $got = 0;
			for (1 .. $count) { $got += length $s->read; sleep 0.001 }
			waitpid $child, 0;
			return $got == $count * 100000 ? '' : "got $got bytes";
		}
		$s->raw(bulk('GET', 'wide') x $count);
		POSIX::_exit(0);
	}, 16 * $RSS_KIB],
	['18 TLS hello on the plain port', throws("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . random_bytes(512) . "\r\n")],
	['18 HTTP POST', closes("POST / HTTP/1.1\r\nHost: a\r\n\r\nSET x y\r\n")],
	['18 HTTP GET', sub {
		my $got = until_closed("GET / HTTP/1.1\r\nHost: a\r\nSET http y\r\n\r\n") // return 'was not closed';
		return defined conn()->cmd('GET', 'http') ? 'the smuggled command ran' : '';
	}],
	(map { my $i = $_; ["19 a megabyte of noise ($i)", throws(sub { random_bytes(1 << 20) }), 12 * $RSS_KIB] } 1 .. 2),
	(map { my $i = $_; ["19 noise of the protocol's own pieces ($i)", throws(sub { random_resp(20000) }), 4 * $RSS_KIB] } 1 .. 6),
	['20 an inline line of 64 KiB and more', answers_then_closes('x' x 70000, "${proto}too big inline request\r\n")],
	['20 unbalanced quotes', answers_then_closes("SET a \"b\r\n", "${proto}unbalanced quotes in request\r\n")],
	['20 quotes closed against a word', answers_then_closes("SET a \"b\"c\r\n", "${proto}unbalanced quotes in request\r\n")],
	['20 NUL bytes in an inline line', throws("SET a\0b c\r\nGET a\0b\r\n")],
	['20 a count without its end', answers_then_closes('*' . '1' x 70000, "${proto}too big mbulk count string\r\n")],
	['20 a length without its end', answers_then_closes("*1\r\n\$" . '1' x 70000, "${proto}too big bulk count string\r\n")],

	['29 an empty key', keeps(bulk('SET', '', 'v') . bulk('GET', '') . bulk('DEL', ''), "+OK\r\n\$1\r\nv\r\n:1\r\n")],
	['30 a key of 1 KiB', sub { my $k = 'k' x 1024; my $s = conn(); return $s->cmd('SET', $k, 'v') eq 'OK' && $s->cmd('GET', $k) eq 'v' ? '' : 'refused' }],
	(map { my $n = $_; ["30 a key of $n bytes", sub {
		my $said = conn()->cmd('SET', 'k' x $n, 'v');
		return $said =~ /^-TOO_LARGE \{"outcome":"refused"/ ? '' : "said $said";
	}] } 1025, 2048),
	['31 a key of odd bytes', sub {
		my $k = "\0\xff\r\n\xc3\x28";
		my $s = conn();
		return $s->cmd('SET', $k, 'v') eq 'OK' && $s->cmd('GET', $k) eq 'v' ? '' : 'not kept';
	}],
	['34 an empty value', keeps(bulk('SET', 'void', '') . bulk('GET', 'void') . bulk('EXISTS', 'void') . bulk('GET', 'void-not'), "+OK\r\n\$0\r\n\r\n:1\r\n\$-1\r\n")],
	['36 EXEC of nothing', keeps(bulk('MULTI') . bulk('EXEC'), "+OK\r\n*0\r\n")],
	['38 MSET of values of 700 and of 500 KB', sub {
		my $s = conn();
		my $said = $s->cmd('MSET', 'fat1', 'v' x 700000, 'fat2', 'v' x 500000);
		return $said =~ /^-TOO_LARGE \{"outcome":"refused"/ && !defined $s->cmd('GET', 'fat1') ? '' : "said $said";
	}, 8 * $RSS_KIB],
	['39 MSET of one key twice', keeps(bulk('MSET', 'same', '1', 'same', '2') . bulk('GET', 'same'), "+OK\r\n\$1\r\n2\r\n")],
	['40 one bad command in a queue', sub {
		my $s = conn();
		$s->cmd('MULTI');
		$s->cmd('SET', 'queued40', '1');
		my $bad = $s->cmd('GET');
		my $said = $s->cmd('EXEC');
		return $bad =~ /^-ERR wrong number/ && $said =~ /^-EXECABORT/ && !defined conn()->cmd('GET', 'queued40') ? '' : "said $bad, $said";
	}],
	['41 EXEC after the watched key changed', sub {
		my $s = conn();
		$s->cmd('WATCH', 'watched41');
		conn()->cmd('SET', 'watched41', 'other');
		$s->cmd('MULTI');
		$s->cmd('SET', 'watched41', 'mine');
		my $said = $s->cmd('EXEC');
		return !defined $said && conn()->cmd('GET', 'watched41') eq 'other' ? '' : 'it ran';
	}],
	['42 SET XX of an absent key', keeps(bulk('SET', 'absent42', 'v', 'XX') . bulk('EXISTS', 'absent42'), "\$-1\r\n:0\r\n")],
	['44 INCR of no number', sub {
		my $s = conn();
		$s->cmd('SET', 'word44', 'abc');
		my $said = $s->cmd('INCR', 'word44');
		return $said =~ /^-ERR value is not an integer/ && $s->cmd('GET', 'word44') eq 'abc' ? '' : "said $said";
	}],
	(map { my $t = $_; ["45 EX $t", sub {
		my $said = conn()->cmd('SET', 'ttl45', 'v', 'EX', $t);
		return $said =~ /^-ERR (?:invalid expire|value is not)/ ? '' : "said $said";
	}] } '0', '-1', '9223372036854775807', '9223372036854775808', 'x'),
	['46 RANGE from behind to', sub { my $said = conn()->cmd('RANGE', 'z', 'a'); return ref $said && @$said == 0 ? '' : 'said something' }],
	(map { my $n = $_; ["47 SCAN COUNT $n", sub { my $said = conn()->cmd('SCAN', '0', 'COUNT', $n); return $said =~ /^-ERR/ ? '' : 'said ' . (ref $said ? 'keys' : $said) }] }
		'0', '-1', 'x', '9223372036854775808'),
	(map { my $n = $_; ["47 RANGE LIMIT $n", sub { my $said = conn()->cmd('RANGE', 'a', 'b', 'LIMIT', $n); return $said =~ /^-VALIDATION .*LIMIT/ ? '' : 'said ' . (ref $said ? 'keys' : $said) }] }
		'0', '-1', '10001', 'x'),
	(map { my $n = $_; ["48 a cursor made up: $n", sub { my $said = conn()->cmd('SCAN', $n); return ref $said || $said =~ /^-ERR/ ? '' : "said $said" }] }
		'12345678901234567', '-1', 'x', '99999999999999999999'),
	['52 a request id of 1970', sub {
		my $said = conn()->cmd('ONCE', '00000000-0001-7000-8000-000000000001', 'INCR', 'n');
		return $said =~ /^-ID_TOO_OLD \{"outcome":"refused"/ ? '' : "said $said";
	}],
	['37 MSET of 1,024 keys', sub {
		my $s = conn();
		my $said = $s->cmd('MSET', map { ("m37:$_", 'v') } 1 .. 1024);
		return $said eq 'OK' && $s->cmd('EXISTS', map {"m37:$_"} 1 .. 1024) == 1024 ? '' : "said $said";
	}],
	['37 MSET of 1,025 keys', sub {
		my $said = conn()->cmd('MSET', map { ("m$_", 'v') } 1 .. 1025);
		return $said =~ /^-TOO_LARGE/ && !defined conn()->cmd('GET', 'm1') ? '' : "said $said";
	}],
	['43 INCR over the end', sub {
		my $s = conn();
		$s->cmd('SET', 'n', '9223372036854775807');
		my $said = $s->cmd('INCR', 'n');
		return $said =~ /overflow/ && $s->cmd('GET', 'n') eq '9223372036854775807' ? '' : "said $said";
	}],
	['50 a request id twice, same content', sub {
		my $s = conn();
		my @two = map { $s->cmd('ONCE', 'bad-50', 'INCR', 'n50') } 1 .. 2;
		return "@two" eq '1 1' ? '' : "said @two";
	}],
	['51 a request id twice, other content', sub {
		my $said = conn()->cmd('ONCE', 'bad-50', 'INCR', 'n51');
		return $said =~ /^-IDEMPOTENCY_KEY_REUSED \{"outcome":"refused","reason":"/ ? '' : "said $said";
	}],
	['52 request ids of no and of 129 bytes', sub {
		my $s = conn();
		my @said = map { $s->cmd('ONCE', $_, 'INCR', 'n') } '', 'i' x 129;
		return 2 == grep({ /^-VALIDATION/ } @said) ? '' : "said @said";
	}],
	(map { my $d = $_; ["56 DEADLINE $d", sub {
		my $said = conn()->cmd('DEADLINE', $d, 'GET', 'k');
		return $said =~ /^-VALIDATION \{"outcome":"refused"/ ? '' : "said $said";
	}] } '0', '-1', 'x', '9223372036854775808', '1.5', ''),
	['a prefix without a command', sub {
		my $said = conn()->cmd('ONCE', 'i');
		return $said =~ /^-/ ? '' : "said $said";
	}],
	['prefixes a thousand times', sub {
		my $said = conn()->cmd(('DRYRUN') x 1000, 'GET', 'k') // 'null';
		return $said =~ /^(?:null|v|-\w+ )/ ? '' : "said $said";
	}],
	['MULTI of 5,000 commands', sub {
		my $s = conn();
		$s->cmd('MULTI');
		my $refused = 0;
		$s->raw(bulk('INCR', 'q') x 5000);
		for (1 .. 5000) { $refused++ if $s->read ne 'QUEUED' }
		my $said = $s->cmd('EXEC');
		return $refused == 5000 - 4096 && $said =~ /^-EXECABORT/ ? '' : "refused $refused, said $said";
	}, 4 * $RSS_KIB],
	['MULTI of 100 MiB', sub {
		my $s = conn();
		$s->cmd('MULTI');
		my $value = 'v' x 1000000;
		my $refused = 0;
		for (1 .. 20) { $refused++ if $s->cmd('SET', 'q', $value) ne 'QUEUED' }
		return $refused == 19 && $s->cmd('DISCARD') eq 'OK' ? '' : "refused $refused";
	}, 8 * $RSS_KIB],
	['WATCH of 5,000 keys', sub {
		my $said = conn()->cmd('WATCH', map { "w$_" } 1 .. 5000);
		return $said =~ /^-ERR too many keys/ ? '' : "said $said";
	}],
	['a thousand clients that watch and go', sub {
		for (1 .. 1000) { my $s = conn(); $s->raw(bulk('WATCH', 'k') . bulk('MULTI') . bulk('GET', 'k')); $s->close }
		return '';
	}, 2 * $RSS_KIB],
	['a thousand resets in the middle of a request', sub {
		for (1 .. 1000) {
			my $s = conn();
			$s->raw(bulk('SET', 'k', 'v') . "*2\r\n\$3\r\nGE");
			setsockopt $s->socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
			$s->close;
		}
		return '';
	}, 2 * $RSS_KIB],
	['half-closed clients get their answers', sub {
		my @all = map { my $s = conn(); $s->raw(bulk('SET', "h$_", 'v') . bulk('GET', "h$_"))->shut; $s } 1 .. 50;
		my $wrong = grep { ($_->rest(30) // '') ne "+OK\r\n\$1\r\nv\r\n" } @all;
		return $wrong ? "$wrong of 50 did not" : '';
	}],
	['CLIENT KILL of oneself in a pipeline', sub {
		my $got = until_closed(bulk('SET', 'kk', '1') . bulk('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'no') . bulk('PING'));
		return defined $got && $got =~ /^\+OK\r\n:\d+\r\n\z/ ? '' : 'said ' . ($got // 'nothing');
	}],
	['CONFIG SET and DEBUG are refused', sub {
		my $s = conn();
		my @said = ($s->cmd('CONFIG', 'SET', 'maxclients', '1'), $s->cmd('DEBUG', 'SEGFAULT'), $s->cmd('TALLY', 'NOSUCH'));
		return 3 == grep({ /^-ERR/ } @said) ? '' : "said @said";
	}],
	['CONFIG SET and REWRITE say where settings are set', sub {
		my $s = conn();
		my @said = ($s->cmd('CONFIG', 'SET', 'maxclients', '1'), $s->cmd('CONFIG', 'REWRITE'));
		return 2 == grep({ /^-ERR .* file and flags.* restart/ } @said) ? '' : "said @said";
	}],
	['TALLY TRANSFER where nobody else is', keeps(bulk('TALLY', 'TRANSFER') . bulk('TALLY', 'TRANSFER', '2'),
		"-ERR there is no other member\r\n-ERR no member has this id\r\n")],
	['a pattern with many stars', sub {
		my $s = conn();
		$s->cmd('SET', 'a' x 900, 'v');
		my $begin = time;
		$s->cmd('KEYS', 'a*' x 400 . 'b');
		$s->cmd('CONFIG', 'GET', '*a' x 500);
		return time - $begin < 20 ? '' : 'took too long';
	}],
	['10,000 connections', sub {
		my @all;
		my $want = 10000;
		my $cap = qx(sh -c 'ulimit -n 2>/dev/null') + 0;
		$want = $cap - 100 if $cap < $want + 100;
		for (1 .. $want) {
			push @all, IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) // last;
		}
		my $open = @all;
		diag "only $want: no more descriptors are to be had here" if $want < 10000;
		my $answered = 0;
		for my $s (@all) { syswrite $s, "PING\r\n" }
		for my $s (@all) { my $said = ''; sysread $s, $said, 64; $answered++ if $said eq "+PONG\r\n" }
		close $_ for @all;
		return $open >= $want - 50 && $answered >= $open - 50 ? '' : "$open open, $answered answered";
	}, 40 * $RSS_KIB],
	['more connections than allowed', sub {
		my $small = Cluster->new(nodes => 1, flags => ['--max-clients', '5', '--election', '2s']);
		$small->start(1);
		$small->leader;
		my @all = (Cluster::Client->new($small->{client_port}{1}, timeout => 20));
		# The ones that asked who leads are noticed to be gone.
		Cluster::wait_for(sub { my %is = @{ $all[0]->cmd('TALLY', 'STATUS') }; $is{clients} == 1 });
		push @all, map { Cluster::Client->new($small->{client_port}{1}, timeout => 20) } 2 .. 5;
		$_->cmd('PING') for @all;
		my $said = Cluster::Client->new($small->{client_port}{1}, timeout => 20)->rest(20);
		$_->close for @all;
		my $again = Cluster::wait_for(sub { Cluster::Client->new($small->{client_port}{1}, timeout => 5)->cmd('PING') eq 'PONG' });
		$said //= 'nothing';
		return $said eq "-ERR max number of clients reached\r\n" && $again ? '' : "said $said";
	}],
);

# What a node needs once: warm it up before its memory is looked at.
{
	my $s = conn();
	$s->cmd('SET', "warm$_", 'w' x 1000) for 1 .. 200;
	$s->cmd('SET', 'big', 'v' x $max), $s->cmd('GET', 'big') for 1 .. 3;
	$s->cmd('DEL', 'big');
	$s->cmd('ONCE', "w$_", 'INCR', 'w') for 1 .. 50;
	until_closed(random_bytes(1000) . "\r\n", 1);
}
my $fds = Cluster::wait_for(sub { my $n = fds(); sleep 0.1; $n == fds() ? $n : 0 });

for my $row (@rows) {
	my ($name, $run, $allow) = @$row;
	my $rss = rss_kib();
	my $wrong = eval { $run->() };
	$wrong = "died: $@" if !defined $wrong;
	my $alive = kill 0, $pid;
	my $works = eval { my $s = conn(); $s->cmd('SET', 'good', $name) eq 'OK' && $s->cmd('GET', 'good') eq $name };
	my $closed = Cluster::wait_for(sub { fds() <= $fds }, 20);
	# The store's own files come and go; memtables fill. What a row may leave behind is a little memory.
	my $kept = $sanitized || Cluster::wait_for(sub { rss_kib() - $rss <= ($allow // $RSS_KIB) + 512 ? 1 : 0 }, 8, 0.1);
	my @bad;
	push @bad, $wrong if $wrong ne '';
	push @bad, 'the process is gone' if !$alive;
	push @bad, 'the next request fails' if !$works;
	push @bad, sprintf 'descriptors %d -> %d', $fds, fds() if !$closed;
	push @bad, sprintf 'memory %d -> %d KiB', $rss, rss_kib() if !$kept && !$sanitized;
	ok(!@bad, $name) or diag join '; ', @bad;
	last if !$alive;
}
my ($code, $took) = $c->term(1);
is($code, 0, 'and in the end it stops politely');
done_testing;
