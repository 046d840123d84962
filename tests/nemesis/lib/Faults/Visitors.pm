package Faults::Visitors;

# Clients beside those of the workload, who mean no good or are many (the program `visitors`),
# and an operator who cannot make up his mind.
use strict;
use warnings;
use World;
use Network;
use Nodes;
use Registry;

# A crowd meets a node that may have few files open; tallyd keeps half of them for itself.
use constant { FILES => 400, CROWD => 600, MUTES => 24, STORM_PER_S => 1000, PUSHES_PER_S => 10 };

sub clients_at { return join ',', map { address($_) . ':7401' } @_ }

sub visit {
	my ( $event, @words ) = @_;
	pipe my $in,   my $to  or die "nemesis: pipe: $!\n";
	pipe my $from, my $out or die "nemesis: pipe: $!\n";
	$to->autoflush(1);
	$event->{visitors} = { to => $to, from => $from, pid => spawn( 'visitors', { in => $in, out => $out, errors => 1 },
		in_ns( 'h', "$src/tests/nemesis/visitors", @words ) ) };
	return;
}

# What they have seen so far.
sub seen {
	my ($event) = @_;
	local $SIG{PIPE} = 'IGNORE';
	print { $event->{visitors}{to} } "counts\n";
	my $line = readline $event->{visitors}{from};
	die "nemesis: the visitors are gone\n" unless defined $line && $line =~ /here=/;
	return ( $line =~ /(\w+)=(\d+)/g );
}

# Up to ten seconds, until what is counted says that they are felt.
sub felt {
	my ( $event, $enough ) = @_;
	my %count;
	for ( 1 .. 100 ) {
		%count = seen($event);
		return %count if $enough->(%count);
		wait_for(0.1);
	}
	return;
}

sub leave {
	my ($event) = @_;
	return unless $event->{visitors};
	my %count = seen($event);
	say_line( "       $event->{kind}: ", join ' ', map {"$_ $count{$_}"} grep { $count{$_} } sort keys %count );
	kill_process( $event->{visitors}{pid}, 'KILL' );
	return %count;
}

sub few_files { node_wrap( $_, 'prlimit', '--nofile=' . FILES . ':' . FILES ) for 1 .. $world{nodes}; return }

fault name => 'crowd', text => 'more clients come to a node than it may have files open, and stay',
	prepare => \&few_files,
	hold    => [ 3, 5 ],
	begin   => sub {
		my ($event) = @_;
		my $i = victim() or return;
		visit( $event, 'crowd', clients_at($i), CROWD );
		my %count = felt( $event, sub { my %c = @_; return $c{refused} + $c{closed} > 0 && $c{answered} > 0 } ) or return;
		my $files = () = glob '/proc/' . node_pid($i) . '/fd/*';
		strike( $event, "n$i has $files files open" );
		failure("crowd: node $i has $files files open, and may have no more than " . FILES . ': none is left for its own')
			if $files > FILES - 64;
	},
	end => \&leave;

# How many connections of clients a node has answers for that nobody takes.
sub stuck {
	my ($i) = @_;
	my @waiting = map { ( split ' ' )[1] } split /^/, capture( 3, in_ns( $i, qw(ss -Htn state established sport = :7401) ) );
	return scalar grep { $_ > 64 * 1024 } @waiting;
}

# Whether nobody takes what a node answers: at the leader half of the connections are full. The leader's link to
# another node is full with fewer; there the rest are refused, and none of them takes that either.
sub untaken {
	my ( $event, $i, $leads ) = @_;
	my $stuck = stuck($i);
	return $stuck >= MUTES / 2 if $leads || !$stuck;
	my @clients = split /^/, capture( 3, in_ns( 'h', qw(ss -Htnp state established dport = :7401) ) );
	return MUTES == grep { /pid=$event->{visitors}{pid},/ && ( split ' ' )[0] > 0 } @clients;
}

fault name => 'mute', text => 'clients of a node, most often the leader, ask for gigabytes and read nothing',
	hold  => [ 3, 5 ],
	begin => sub {
		my ($event) = @_;
		my $i = victim() or return;
		my $leads = $i == leader();
		visit( $event, 'mute', clients_at($i), MUTES );
		felt( $event, sub { return untaken( $event, $i, $leads ) } ) or return;
		strike( $event, "n$i" );
	},
	end => \&leave;

fault name => 'storm', text => 'a thousand new connections a second, round all nodes, each for one PING',
	hold  => [ 3, 5 ],
	begin => sub {
		my ($event) = @_;
		visit( $event, 'storm', clients_at( 1 .. $world{nodes} ), STORM_PER_S );
		felt( $event, sub { my %c = @_; return $c{answered} > 100 } ) or return;
		strike($event);
	},
	end => \&leave;

fault name => 'transfers', text => 'ten times a second the leader is told to hand leadership over',
	hold  => [ 3, 5 ],
	least => 50,
	begin => sub {
		my ($event) = @_;
		$event->{term} = term() or return;
		visit( $event, 'push', clients_at( 1 .. $world{nodes} ), PUSHES_PER_S );
		felt( $event, sub { my %c = @_; return $c{answered} > 0 } ) or return;
		strike($event);
	},
	end => sub {
		my ($event) = @_;
		leave($event) or return;
		my $terms = term() - $event->{term};
		say_line("       transfers: $terms terms");
		unstrike($event) unless $terms > 1;
	};

1;
