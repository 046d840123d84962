package Faults::Directory;

# A node comes up with a directory that is not its last one: emptied, an older copy, another node's. It must not
# take part, and says why; then its own is put back.
use strict;
use warnings;
use File::Path qw(remove_tree);
use World;
use Nodes;
use Registry;

sub kept { my ($i) = @_; return node_dir($i) . '.kept' }

sub move {
	my ( $from, $to ) = @_;
	rename $from, $to or die "nemesis: $from to $to: $! (these kinds want directories of their own, no disks)\n";
	return;
}

# What a node has said from there on.
sub said_since { my ( $i, $from ) = @_; return substr slurp( node_log($i) ), $from }

# The node starts on what `lay` puts in the place of its directory, and need not live.
sub start_on {
	my ( $event, $i, $what, $lay ) = @_;
	kill_node($i);
	move( node_dir($i), kept($i) );
	$event->{node} = $i; # from here on there is something to put back
	$lay->( node_dir($i) );
	$event->{said} = length slurp( node_log($i) );
	start_node($i);
	expect_stop($i);
	strike( $event, "n$i, $what" );
	return;
}

# It has ended and said so; now it gets its own directory again.
sub put_back {
	my ( $event, $line ) = @_;
	my $i = $event->{node} or return;
	failure("$event->{kind}: node $i lived on") unless gone_within( $i, 15 );
	my ($said) = grep {/$line/} split /\n/, said_since( $i, $event->{said} );
	if ( defined $said ) { say_line( "n$i says: ", substr $said, 0, 160 ) }
	else { failure("$event->{kind}: node $i does not say why it ended") }
	kill_node($i);
	remove_tree( node_dir($i) );
	move( kept($i), node_dir($i) );
	start_node($i);
	return;
}

my $gone = qr/^fatal: .*memory is gone: member \d+ remembers start \d+ of it/;

fault name => 'wiped', text => 'a node comes up with an empty directory: it ends, and comes back with its own',
	hold  => [ 0.5, 1.5 ],
	begin => sub {
		my ($event) = @_;
		my $i = victim() or return;
		start_on( $event, $i, 'with an empty directory', sub { } );
	},
	end => sub { put_back( $_[0], $gone ) };

# A member follows or leads only when a majority remembers this life of it.
sub met { my ( $i, $from ) = @_; return said_since( $i, $from ) =~ /role=(?:leader|follower) leader=[1-9]/ }

# A copy of the stopped node is older as soon as the node has started once more and was met.
fault name => 'restored', text => 'a node comes up with an older copy of its directory: it ends, and comes back with its last',
	hold  => [ 0.5, 1.5 ],
	begin => sub {
		my ($event) = @_;
		my $i = victim() or return;
		kill_node($i);
		my $copy = node_dir($i) . '.copy';
		remove_tree($copy);
		must( 'cp', '-a', node_dir($i), $copy );
		my $from = length slurp( node_log($i) );
		start_node($i);
		for ( 1 .. 150 ) { last if met( $i, $from ); wait_for(0.1) }
		return if !met( $i, $from );
		wait_for(1); # the others too
		start_on( $event, $i, 'with an older copy', sub { move( $copy, $_[0] ) } );
	},
	end => sub { put_back( $_[0], $gone ) };

fault name => 'swapped', text => "a node comes up with another's directory: it does not start, and comes back with its own",
	hold  => [ 0.2, 0.5 ],
	begin => sub {
		my ($event) = @_;
		my $i = victim() or return;
		my ($other) = grep { node_pid($_) } shuffled( others($i) );
		return if !$other;
		# Of a living one: files may go meanwhile.
		start_on( $event, $i, "with n${other}'s", sub { quiet( 'cp', '-a', node_dir($other), $_[0] ) } );
	},
	end => sub { put_back( $_[0], qr/identity: is of node \d+/ ) };

1;
