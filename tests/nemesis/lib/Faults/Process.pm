package Faults::Process;

# Processes that die, stop for a while, or are told to end.
use strict;
use warnings;
use World;
use Nodes;
use Registry;

fault name => 'kill', text => 'kill -9 a node, most often the leader; it comes back',
	hold => [ 0.5, 2.5 ],
	begin => sub {
		my ($event) = @_;
		my $i = $event->{node} = victim() or return;
		kill_node($i);
		strike( $event, "n$i" );
	},
	end => sub { my ($event) = @_; start_node( $event->{node} ) if $event->{node} };

fault name => 'killall', text => 'kill -9 every node at once',
	hold => [ 0.2, 1.2 ],
	begin => sub {
		my ($event) = @_;
		$event->{nodes} = [ nodes_up() ];
		signal_node( $_, 'STOP' ) for nodes_up();
		kill_node($_) for nodes_up();
		strike($event);
	},
	end => sub { my ($event) = @_; start_node($_) for @{ $event->{nodes} } };

fault name => 'loop', text => 'kill -9 one node again and again',
	begin => sub {
		my ($event) = @_;
		my $i = some_node() or return;
		strike( $event, "n$i" );
		for ( 1 .. 5 ) {
			kill_node($i);
			start_node($i);
			wait_for( 0.2 + rand 0.8 );
		}
	};

my @pause = (
	begin => sub {
		my ($event) = @_;
		my $i = $event->{node} = victim() or return;
		signal_node( $i, 'STOP' );
		strike( $event, "n$i" );
	},
	end => sub { my ($event) = @_; signal_node( $event->{node}, 'CONT' ) if $event->{node} },
);

fault name => 'pause', text => 'SIGSTOP a node, most often the leader', hold => [ 0.5, 3.5 ], @pause;

# Longer than anything waits: peers have given its connections up, its clock has made a jump of half a minute.
fault name => 'pause-long', text => 'SIGSTOP a node, most often the leader, for 25 to 30 s', hold => [ 25, 30 ], @pause;

fault name => 'freeze', text => 'SIGSTOP several nodes at once, often all, as when the machine below stands still',
	hold => [ 0.5, 3.5 ],
	begin => sub {
		my ($event) = @_;
		my @up = shuffled( nodes_up() );
		splice @up, 1 + int rand @up if rand() < 0.5;
		$event->{nodes} = \@up;
		signal_node( $_, 'STOP' ) for @up;
		strike( $event, join ' ', map {"n$_"} sort @up );
	},
	end => sub { my ($event) = @_; signal_node( $_, 'CONT' ) for @{ $event->{nodes} } };

fault name => 'term', text => 'SIGTERM the leader: it hands over and exits 0 within 2 s',
	hold => [ 0.5, 0.5 ],
	begin => sub {
		my ($event) = @_;
		my $i = $event->{node} = leader() or return;
		strike( $event, "n$i" );
		my ( $status, $took ) = stop_node($i);
		failure( sprintf 'SIGTERM: node %d ended after %.1f s with %s', $i, $took, exit_text($status) )
			if $status != 0 || $took > 2 * $world{slack};
	},
	end => sub { my ($event) = @_; start_node( $event->{node} ) if $event->{node} };

1;
