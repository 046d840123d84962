package Faults::Links;

# Partitions of every kind, by nftables in the nodes' namespaces.
use strict;
use warnings;
use World;
use Network;
use Nodes;
use Registry;

# Where a majority is to be had, somebody must come to lead, and then leadership must rest.
use constant { LEADER_S => 5, STABLE_S => 1.5, STEP_DOWN_S => 2.5, TERMS_MOST => 4 };

# What they all share: the rules go away together.
sub link_fault { return fault( hold => [ 1, 4 ], end => sub { heal_network() }, @_ ) }

link_fault name => 'isolate', text => 'one node hears no other and is not heard', begin => sub {
	my ($event) = @_;
	my $i = victim() or return;
	cut( $i, $_ ) for others($i);
	strike( $event, "n$i" );
};

link_fault name => 'partition', text => 'a minority is cut off', begin => sub {
	my ($event) = @_;
	my @all = shuffled( 1 .. $world{nodes} );
	my @few = splice @all, 0, int( $world{nodes} / 2 );
	for my $i (@few) { cut( $i, $_ ) for @all }
	strike( $event, join ' ', map {"n$_"} sort @few );
};

# Who does not hear the leader stands again and again; the others must not follow him into new terms.
link_fault name => 'ring', text => 'each node hears a majority, no two the same (five nodes); leadership must not flap',
	hold  => [ 3, 6 ],
	begin => sub {
		my ($event) = @_;
		my @all = shuffled( 1 .. $world{nodes} );
		return if @all < 5;
		my $term = term() or return;
		cut( $all[$_], $all[ ( $_ + 2 ) % @all ] ) for 0 .. $#all;
		strike( $event, join ' ', map {"n$_"} @all );
		$event->{term} = $term;
	},
	end => sub {
		my ($event) = @_;
		my $terms = defined $event->{term} ? term() - $event->{term} : 0;
		heal_network();
		say_line("       ring: $terms terms") if defined $event->{term};
		failure("ring: $terms terms, while each node heard a majority") if $terms > TERMS_MOST;
	};

link_fault name => 'bridge', text => 'one node sees both halves, which do not see each other; one leads within five seconds, and goes on',
	begin => sub {
		my ($event) = @_;
		my ( $middle, @rest ) = shuffled( 1 .. $world{nodes} );
		my @left = splice @rest, 0, int( @rest / 2 );
		for my $i (@left) { cut( $i, $_ ) for @rest }
		strike( $event, "n$middle" );
		my $took = rests_within( LEADER_S * $world{slack}, STABLE_S );
		return failure('bridge: no one leads whom all the others leave in peace') unless defined $took;
		say_line( sprintf '       bridge: the leader of the end led after %.1f s', $took );
	};

# Some of its links or all, and never both directions of one.
link_fault name => 'oneway', text => 'a node sends and does not receive, or receives and does not send, on some of its links', begin => sub {
	my ($event) = @_;
	my $i     = victim() or return;
	my @some  = shuffled( others($i) );
	my $count = rand() < 0.5 ? @some : 1 + int rand @some;
	my $deaf  = rand() < 0.5;
	for my $j ( splice @some, 0, $count ) { $deaf ? deafen( $i, $j ) : deafen( $j, $i ) }
	strike( $event, "n$i " . ( $deaf ? 'hears' : 'reaches' ) . " $count not" );
};

# What it says, it says for nobody: it must see that by itself.
link_fault name => 'deaf', text => 'the leader sends, and hears no node: it leads no longer', begin => sub {
	my ($event) = @_;
	my $i = leader() or return;
	return unless leads($i);
	deafen( $i, others($i) );
	strike( $event, "n$i" );
	my $until = now_us() + STEP_DOWN_S * $world{slack} * 1e6;
	wait_for(0.05) while leads($i) && now_us() < $until;
	return failure("deaf: node $i hears nobody and leads on") if leads($i);
	say_line( sprintf '       deaf: n%d led for %.1f s more', $i, ( now_us() - $event->{began_us} ) / 1e6 );
};

link_fault name => 'swizzle', text => 'one node after the other is cut off, and comes back, in another order', hold => [ 0, 0 ], begin => sub {
	my ($event) = @_;
	my @some = splice @{ [ shuffled( 1 .. $world{nodes} ) ] }, 0, 1 + int rand $world{nodes};
	my %out;
	my $draw = sub {
		heal_network();
		for my $i ( sort keys %out ) { cut( $i, $_ ) for others($i) }
	};
	strike( $event, join ' ', map {"n$_"} @some );
	for my $i (@some) { $out{$i} = 1; $draw->(); wait_for( 0.2 + rand 0.6 ) }
	for my $i ( shuffled(@some) ) { delete $out{$i}; $draw->(); wait_for( 0.2 + rand 0.6 ) }
};

link_fault name => 'flap', text => 'a link that comes and goes', hold => [ 0, 0 ], begin => sub {
	my ($event) = @_;
	my $i = victim() or return;
	strike( $event, "n$i" );
	for ( 1 .. 6 ) {
		cut( $i, $_ ) for others($i);
		wait_for( 0.05 + rand 0.4 );
		heal_network();
		wait_for( 0.05 + rand 0.4 );
	}
};

link_fault name => 'loss', text => '5 to 50 % of the packets to a node are lost', begin => sub {
	my ($event) = @_;
	my $i    = victim() or return;
	my $part = 5 + int rand 46;
	nft( $i, "add rule inet nemesis in ip saddr 10.77.0.0/24 numgen random mod 100 < $part drop" );
	strike( $event, "n$i $part%" );
};

link_fault name => 'reset', text => 'connections between nodes are reset', hold => [ 0.5, 1.5 ], begin => sub {
	my ($event) = @_;
	my $i = victim() or return;
	nft( $i, "add rule inet nemesis in tcp dport 7501 reject with tcp reset" );
	nft( $i, "add rule inet nemesis in tcp sport 7501 reject with tcp reset" );
	strike( $event, "n$i" );
};

link_fault name => 'blind', text => 'the clients do not reach the leader', begin => sub {
	my ($event) = @_;
	my $i = leader() or return;
	deafen( $i, 'h' );
	strike( $event, "n$i" );
};

my @tbf    = qw(qdisc add dev);
my @slowly = qw(root tbf rate 2mbit burst 16kb latency 200ms);
fault name => 'slow', text => 'a node has 2 Mbit/s', hold => [ 2, 4 ],
	needs => sub { return quiet( qw(unshare -n tc), @tbf, 'lo', @slowly ) ? undef : 'the kernel has no token bucket filter' },
	begin => sub {
		my ($event) = @_;
		my $i = $event->{node} = victim() or return;
		must( in_ns( $i, 'tc', @tbf, 'eth0', @slowly ) );
		strike( $event, "n$i" );
	},
	end => sub {
		my ($event) = @_;
		quiet( in_ns( $event->{node}, qw(tc qdisc del dev eth0 root) ) ) if $event->{node};
	};

1;
