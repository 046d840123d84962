package Faults::Calls;

# System calls of a running node that fail or take long, by strace.
use strict;
use warnings;
use World;
use Nodes;
use Registry;

sub needs_strace { return quiet( 'strace', '-V' ) ? undef : 'strace is missing' }

sub sit_on {
	my ( $event, $what ) = @_;
	my $i = $event->{node} = victim() or return;
	expect_stop($i) if $what =~ /error=/;
	$event->{strace} = spawn( 'strace', {}, 'strace', '-f', '-p', node_pid($i), '-e', 'trace=fdatasync,fsync', '-e', $what );
	strike( $event, "n$i" );
	return;
}

sub leave {
	my ($event) = @_;
	kill_process( $event->{strace}, 'INT' ) if $event->{strace};
	return;
}

fault name => 'eio', text => 'fdatasync fails once: the node must stop, and come back', hold => [ 4, 4 ],
	needs => \&needs_strace,
	begin => sub { sit_on( $_[0], 'inject=fdatasync,fsync:error=EIO:when=1' ) },
	end   => sub {
		my ($event) = @_;
		return unless $event->{node};
		my $gone = gone_within( $event->{node}, 10 );
		leave($event);
		failure("eio: node $event->{node} lived on after a sync had failed") unless $gone;
		kill_node( $event->{node} );
		start_node( $event->{node} );
	};

fault name => 'slowdisk', text => 'every sync of a node takes 100 ms longer', hold => [ 3, 3 ],
	needs => \&needs_strace,
	begin => sub { sit_on( $_[0], 'inject=fdatasync:delay_enter=100000' ) },
	end   => \&leave;

1;
