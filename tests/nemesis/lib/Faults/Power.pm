package Faults::Power;

# The power fails: every node's data lies on a powerfs of its own, which then loses what
# nobody synced, or a part of it, as the printed seed draws.
use strict;
use warnings;
use IO::Handle;
use World;
use Network;
use Nodes;
use Registry;

my %disk; # node => { to, from }: the pipes of its powerfs

sub power_needs {
	return 'powerfs is not built (libfuse3-dev)' unless -x "$build/powerfs";
	return '/dev/fuse cannot be opened' unless -w '/dev/fuse';
	return;
}

sub power_ask {
	my ( $i, $line ) = @_;
	print { $disk{$i}{to} } "$line\n" or die "nemesis: powerfs of n$i: $!\n";
	my $answer = readline( $disk{$i}{from} ) // 'its end';
	die "nemesis: powerfs of n$i answers '$line' with $answer\n" unless $answer =~ /^ok ?(.*)/;
	return $1;
}

sub power_disks {
	%disk = ();
	for my $i ( 1 .. $world{nodes} ) {
		my $at = node_dir( $i, "$world{dir}/disk$i" );
		mkdir $at or die "nemesis: $at: $!\n";
		undo( "mount $at", sub { quiet( 'umount', '-l', $at ) } );
		pipe my $in,   my $to   or die "nemesis: pipe: $!\n";
		pipe my $from, my $out or die "nemesis: pipe: $!\n";
		spawn( "powerfs $i", { in => $in, out => $out, errors => 1 }, "$build/powerfs", $at, $world{dir} );
		close $_ for $in, $out;
		$to->autoflush(1);
		$disk{$i} = { to => $to, from => $from };
		my $mounted = readline($from) // '';
		die "nemesis: cannot mount a powerfs at $at\n" unless $mounted =~ /^ok/;
	}
	return;
}

# All at the same moment, then each disk draws what it has lost. Returns what was drawn, for the log.
sub power_cut {
	my ( $mode, @nodes ) = @_;
	my $seed = int rand 1_000_000;
	signal_node( $_, 'STOP' ) for @nodes;
	kill_node($_) for @nodes;
	my %sum;
	for my $i (@nodes) {
		my $answer = power_ask( $i, 'cut ' . ( $seed + $i ) . " $mode" );
		$sum{$1} += $2 while $answer =~ /(\w+)=(\d+)/g;
	}
	return ( "$mode seed $seed", "sectors: $sum{sectors_lost} lost, $sum{sectors_torn} torn, $sum{sectors_kept} kept; "
			. "names: $sum{names_lost} lost, $sum{names_kept} kept" );
}

sub cut_and_tell {
	my ( $event, $who, @nodes ) = @_;
	my ( $drawn, $lost ) = power_cut( ( 'all', 'some', 'some', 'scatter' )[ int rand 4 ], @nodes );
	strike( $event, "$who$drawn" );
	say_line("  $lost");
	return;
}

fault name => 'power', text => 'the power of one node fails: what it had not synced is lost or torn',
	needs   => \&power_needs,
	prepare => \&power_disks,
	hold    => [ 0.2, 1.5 ],
	begin   => sub {
		my ($event) = @_;
		$event->{node} = victim();
		cut_and_tell( $event, "n$event->{node} ", $event->{node} );
	},
	end => sub { my ($event) = @_; start_node( $event->{node} ) };

fault name => 'power-all', text => 'the power of all nodes fails at the same moment',
	needs   => \&power_needs,
	prepare => \&power_disks,
	hold    => [ 0.1, 0.5 ],
	begin   => sub {
		my ($event) = @_;
		$event->{nodes} = [ nodes_up() ];
		cut_and_tell( $event, '', @{ $event->{nodes} } );
	},
	end => sub { my ($event) = @_; start_node($_) for @{ $event->{nodes} } };

fault name => 'badsync', text => 'a sync fails and loses bytes for good: the node stops, and starts again',
	needs   => \&power_needs,
	prepare => \&power_disks,
	hold    => [ 0.5, 1.5 ],
	begin   => sub {
		my ($event) = @_;
		my $i = $event->{node} = victim();
		expect_stop($i);
		power_ask( $i, 'fail sync' );
		strike( $event, "n$i" );
	},
	end => sub {
		my ($event) = @_;
		my $i = $event->{node};
		for ( 1 .. 100 ) { wait_for(0.1) if node_pid($i) }
		failure("badsync: node $i lived on after a sync had failed") if node_pid($i);
		kill_node($i);
		power_ask( $i, 'fail none' );
		power_cut( 'all', $i );
		start_node($i);
	};

fault name => 'badread', text => 'a node cannot read its disk: it does not start; then it can',
	needs   => \&power_needs,
	prepare => \&power_disks,
	begin   => sub {
		my ($event) = @_;
		my $i = $event->{node} = victim();
		kill_node($i);
		power_cut( 'all', $i );
		power_ask( $i, 'fail read' );
		start_node($i);
		expect_stop($i);
		strike( $event, "n$i" );
		for ( 1 .. 100 ) { wait_for(0.1) if node_pid($i) }
		failure("badread: node $i runs without having read anything") if node_pid($i);
		say_line( "n$i says: ", ( split /\n/, slurp( node_log($i) ) )[-1] );
	},
	end => sub {
		my ($event) = @_;
		power_ask( $event->{node}, 'fail none' );
		kill_node( $event->{node} );
		start_node( $event->{node} );
	};

fault name => 'slowsync', text => 'every sync of a node takes 200 ms longer, and all else on its disk waits for it',
	needs   => \&power_needs,
	prepare => \&power_disks,
	hold    => [ 3, 5 ],
	begin   => sub {
		my ($event) = @_;
		my $i = $event->{node} = victim();
		power_ask( $i, 'delay 200' );
		strike( $event, "n$i" );
	},
	end => sub { my ($event) = @_; power_ask( $event->{node}, 'delay 0' ) };

fault name => 'lie', text => 'a canary: syncs do nothing until the power of all fails; the judges must find what is lost',
	needs   => \&power_needs,
	prepare => \&power_disks,
	hold    => [ 0.1, 0.5 ],
	begin   => sub {
		my ($event) = @_;
		$event->{nodes} = [ nodes_up() ];
		power_ask( $_, 'fail lie' ) for 1 .. $world{nodes};
		wait_for(2);
		strike($event);
		say_line( join '; ', power_cut( 'all', @{ $event->{nodes} } ) );
	},
	end => sub {
		my ($event) = @_;
		power_ask( $_, 'fail none' ) for 1 .. $world{nodes};
		start_node($_) for @{ $event->{nodes} };
	};

1;
