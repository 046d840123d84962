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
