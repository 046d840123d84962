# A cluster of tallyd processes for tests, and a small client of its own.
#
#   my $c = Cluster->new(nodes => 3, flags => ['--election', '500ms']);
#   $c->start($_) for 1 .. 3;
#   my $leader = $c->leader;            # waits
#   my $r = $c->client($leader)->cmd('SET', 'k', 'v');
#   $c->kill9($leader); ...             # everything left is killed at the end, by pid
#
# Waiting is for something that happens, with a generous end; nothing sleeps a guessed time.
# Perl's own modules only.
package Cluster;
use strict;
use warnings;
use Carp qw(croak);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(time sleep);

our $WAIT_S = 40;

# Who is interrupted ends as others do: what it started is killed.
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

sub binary {
	my $path = ($ENV{TALLY_BUILD} // 'build') . '/tallyd';
	-x $path or croak "$path is not there";
	return $path;
}

# Ports nobody has now: held together, then let go.
sub free_ports {
	my ($count) = @_;
	my @held = map {
		IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1) or croak "no port: $!"
	} 1 .. $count;
	my @ports = map { $_->sockport } @held;
	close $_ for @held;
	return @ports;
}

sub new {
	my ($class, %o) = @_;
	my $n = $o{nodes} // 3;
	my $self = bless {
		nodes => $n,
		flags => $o{flags} // [],
		dir => tempdir('tally-scenario-XXXXXX', TMPDIR => 1, CLEANUP => 1),
		pid => {},
		owner => $$,
		prefix => $o{prefix} // [],
	}, $class;
	my @ports = free_ports(2 * $n);
	$self->{client_port}{$_} = $ports[$_ - 1] for 1 .. $n;
	$self->{peer_port}{$_} = $ports[$n + $_ - 1] for 1 .. $n;
	return $self;
}

sub ids { return 1 .. $_[0]{nodes} }
sub dir { return "$_[0]{dir}/n$_[1]" }
sub logfile { return "$_[0]{dir}/n$_[1].log" }

sub arguments {
	my ($self, $i) = @_;
	my @a = ('--id', $i, '--dir', $self->dir($i), '--listen', "127.0.0.1:$self->{client_port}{$i}",
		'--peer-listen', "127.0.0.1:$self->{peer_port}{$i}", '--core-dumps', 'yes',
		'--space-reserve', '1MiB', '--segment', '4MiB');
	push @a, '--member', "$_=127.0.0.1:$self->{peer_port}{$_},127.0.0.1:$self->{client_port}{$_}" for $self->ids;
	return (@a, @{ $self->{flags} });
}

# Starts a process and waits until it says it is ready.
sub start {
	my ($self, $i, @more) = @_;
	croak "n$i runs" if $self->{pid}{$i};
	my $log = $self->logfile($i);
	my $from = -s $log // 0;
	$self->{pid}{$i} = spawn($log, @{ $self->{prefix} }, binary(), $self->arguments($i), @more);
	my $ready = wait_for(sub {
		return -1 if $self->reap($i);
		return read_from($log, $from) =~ / ready id=/;
	});
	croak "n$i did not start:\n" . read_from($log, $from) if !$ready || $ready < 0;
	return $self->{pid}{$i};
}

sub spawn {
	my ($log, @command) = @_;
	my $pid = fork // croak "fork: $!";
	return $pid if $pid;
	open STDIN, '<', '/dev/null';
	open STDOUT, '>>', $log;
	open STDERR, '>>', $log;
	exec { $command[0] } @command or POSIX::_exit(127);
}

sub read_from {
	my ($path, $from) = @_;
	open my $f, '<', $path or return '';
	seek $f, $from, 0;
	local $/;
	return <$f> // '';
}

# True when it ended; its status is in {status}.
sub reap {
	my ($self, $i) = @_;
	my $pid = $self->{pid}{$i} or return 1;
	return 0 if waitpid($pid, WNOHANG) == 0;
	$self->{status}{$i} = $?;
	delete $self->{pid}{$i};
	return 1;
}

sub pid { return $_[0]{pid}{ $_[1] } }
sub runs { my ($self, $i) = @_; return !$self->reap($i) }

sub kill9 {
	my ($self, $i) = @_;
	kill 'KILL', $self->{pid}{$i};
	wait_for(sub { $self->reap($i) });
}

# SIGTERM; (exit code, seconds it took).
sub term {
	my ($self, $i) = @_;
	my $begin = time;
	kill 'TERM', $self->{pid}{$i};
	wait_for(sub { $self->reap($i) }, undef, 0.002) or return (-1, time - $begin);
	return ($self->{status}{$i} >> 8 | ($self->{status}{$i} & 127) << 8, time - $begin);
}

# Until what() is true; its value, or undef when time is up.
sub wait_for {
	my ($what, $seconds, $pause) = @_;
	my $end = time + ($seconds // $WAIT_S);
	while (1) {
		my $value = eval { $what->() };
		return $value if $value;
		return undef if time > $end;
		sleep($pause // 0.02);
	}
}

sub client {
	my ($self, $i, %o) = @_;
	return Cluster::Client->new($self->{client_port}{$i}, %o);
}

# TALLY STATUS as a hash, or undef.
sub status {
	my ($self, $i) = @_;
	return eval { +{ @{ $self->client($i, timeout => 2)->cmd('TALLY', 'STATUS') } } };
}

# The id that leads and that all running nodes follow.
sub leader {
	my ($self) = @_;
	return wait_for(sub {
		my @up = grep { $self->runs($_) } $self->ids;
		my %says = map { $_ => $self->status($_) // {} } @up;
		my %ids = map { ($_->{leader} // 0) => 1 } values %says;
		my ($id) = keys %ids;
		return undef if keys %ids != 1 || !$id || !$says{$id} || $says{$id}{role} ne 'leader';
		# It leads when it serves.
		my $answer = $self->client($id, timeout => 3)->cmd('EXISTS', 'x');
		return $answer =~ /^\d+$/ ? $id : undef;
	}) // croak 'nobody leads: ' . join(' ', map { "n$_:" . (read_from($self->logfile($_), 0) =~ s/\A.*?(.{0,600})\z/$1/sr) } $self->ids);
}

# Asks until the answer is no retry error: what a patient client does.
sub patient {
	my ($self, $i, @words) = @_;
	my $last;
	my $answer = wait_for(sub {
		my $c = $self->client($i, timeout => 10);
		$last = $c->cmd(@words);
		return undef if defined $last && !ref $last && $last =~ /^-\S+ \{"outcome":"(?:retry|unknown)"/;
		return [$last];
	});
	return $answer ? $answer->[0] : $last // 'no answer';
}

# The same bytes on these nodes: hash at one index; the hash, or undef.
sub same_hash {
	my ($self, @ids) = @_;
	return wait_for(sub {
		my %seen;
		for my $i (@ids) {
			my %h = @{ $self->client($i, timeout => 10)->cmd('TALLY', 'HASH') };
			$seen{"$h{index} $h{hash}"} = 1;
		}
		return keys %seen == 1 ? (keys %seen)[0] : undef;
	});
}

sub DESTROY {
	my ($self) = @_;
	return if $self->{owner} != $$;
	local ($?, $!, $@);
	for my $i (keys %{ $self->{pid} }) {
		kill 'KILL', $self->{pid}{$i};
		waitpid $self->{pid}{$i}, 0;
	}
}

# RESP2 (and 3) by hand. Errors are strings "-…", nulls undef, arrays and maps references.
package Cluster::Client;
use strict;
use warnings;
use Carp qw(croak);
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);

sub new {
	my ($class, $port, %o) = @_;
	my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => $o{timeout} // 30)
		or croak "port $port: $!";
	$s->autoflush(1);
	return bless { s => $s, in => '', timeout => $o{timeout} // 30 }, $class;
}

sub socket { return $_[0]{s} }
sub encode { return join '', '*' . @_ . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @_ }

# Everything, or croak: the peer may close meanwhile.
sub raw {
	my ($self, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';
	while (length $bytes) {
		my $n = syswrite $self->{s}, $bytes;
		croak "write: $!" if !defined $n;
		substr($bytes, 0, $n) = '';
	}
	return $self;
}

sub send { my ($self, @words) = @_; return $self->raw(encode(@words)) }
sub cmd { my ($self, @words) = @_; $self->send(@words); return $self->read }

sub fill {
	my ($self, $end) = @_;
	my $left = $end - time;
	croak 'no answer in time' if $left <= 0 || !IO::Select->new($self->{s})->can_read($left);
	my $n = sysread $self->{s}, $self->{in}, 65536, length $self->{in};
	croak 'closed' if !$n;
}

sub line {
	my ($self, $end) = @_;
	my $at;
	$self->fill($end) while ($at = index $self->{in}, "\r\n") < 0;
	my $line = substr $self->{in}, 0, $at, '';
	substr($self->{in}, 0, 2) = '';
	return $line;
}

sub read {
	my ($self, $end) = @_;
	$end //= time + $self->{timeout};
	my $line = $self->line($end);
	my $type = substr $line, 0, 1, '';
	return $line if $type =~ /[+:,(]/;
	return "-$line" if $type eq '-';
	return undef if $type eq '_' || $line eq '-1';
	return $line eq 't' ? 1 : 0 if $type eq '#';
	if ($type =~ /[\$=!]/) {
		$self->fill($end) while length $self->{in} < $line + 2;
		my $bytes = substr $self->{in}, 0, $line + 2, '';
		return substr $bytes, 0, $line;
	}
	my $count = $type eq '%' ? 2 * $line : $line;
	return [map { $self->read($end) } 1 .. $count] if $type =~ /[*%~>]/;
	croak "not RESP: $type$line";
}

# What comes until the peer closes (or the time is up: then undef).
sub rest {
	my ($self, $seconds) = @_;
	my $end = time + ($seconds // $self->{timeout});
	my $all = delete $self->{in};
	$self->{in} = '';
	while (1) {
		my $left = $end - time;
		return undef if $left <= 0 || !IO::Select->new($self->{s})->can_read($left);
		my $n = sysread $self->{s}, my $bytes, 65536;
		return $all if !$n;
		$all .= $bytes;
	}
}

sub shut { my ($self) = @_; shutdown $self->{s}, 1; return $self }
sub close { my ($self) = @_; CORE::close $self->{s} }

1;
