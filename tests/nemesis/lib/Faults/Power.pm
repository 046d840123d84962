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
	return if $world{power_disks}++;
	%disk = ();
	for my $i ( 1 .. $world{nodes} ) {
		my $at = node_dir( $i, "$world{dir}/disk$i" );
		node_option( $i, qw(--segment 4MiB) ); # whose zeroes powerfs holds in memory, and makes again behind each cut
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

# With small flushes, so that one comes soon.
sub flushing_disks {
	power_disks();
	node_option( $_, qw(--flush-bytes 256KiB --memtable 1MiB) ) for 1 .. $world{nodes};
	return;
}

# And at once, for the clients may have little to do, or have ended.
sub write_a_flush {
	my @set = ( "$build/tally", 'set', 'filler', 'x' x 65536, '--timeout', '2s', '--servers', servers() );
	capture( 3, in_ns( 'h', @set ) ) for 1 .. 5;
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

# Tells the disk of the node of this event, a drawn one if none is yet, how to behave from now on.
sub tell_disk {
	my ( $event, $order ) = @_;
	$event->{node} //= victim();
	power_ask( $event->{node}, $order );
	return $event->{node};
}

# ---- begin and end of each kind ----

sub one_loses {
	my ($event) = @_;
	$event->{node} = victim();
	cut_and_tell( $event, "n$event->{node} ", $event->{node} );
	return;
}

sub all_lose {
	my ($event) = @_;
	$event->{nodes} = [ nodes_up() ];
	cut_and_tell( $event, '', @{ $event->{nodes} } );
	return;
}

sub power_back {
	my ($event) = @_;
	start_node($_) for $event->{nodes} ? @{ $event->{nodes} } : $event->{node};
	return;
}

sub sync_fails {
	my ($event) = @_;
	$event->{node} = victim();
	expect_stop( $event->{node} );
	strike( $event, 'n' . tell_disk( $event, 'fail sync' ) );
	return;
}

sub sync_works {
	my ($event) = @_;
	my $i = $event->{node};
	failure("badsync: node $i lived on after a sync had failed") unless gone_within( $i, 10 );
	kill_node($i);
	power_ask( $i, 'fail none' );
	power_cut( 'all', $i );
	start_node($i);
	return;
}

sub read_fails {
	my ($event) = @_;
	my $i = $event->{node} = victim();
	kill_node($i);
	power_cut( 'all', $i );
	tell_disk( $event, 'fail read' );
	start_node($i);
	expect_stop($i);
	strike( $event, "n$i" );
	failure("badread: node $i runs without having read anything") unless gone_within( $i, 10 );
	say_line( "n$i says: ", ( split /\n/, slurp( node_log($i) ) )[-1] );
	return;
}

sub read_works {
	my ($event) = @_;
	tell_disk( $event, 'fail none' );
	kill_node( $event->{node} );
	start_node( $event->{node} );
	return;
}

sub table_fails {
	my ($event) = @_;
	$event->{node} = victim();
	expect_stop( $event->{node} );
	strike( $event, 'n' . tell_disk( $event, 'fail table' ) );
	return;
}

sub table_works {
	my ($event) = @_;
	my $i = $event->{node};
	write_a_flush();
	failure("badtable: node $i lived on without a flush") unless gone_within( $i, 30 );
	my ($last) = reverse grep { /^fatal:/ } split /^/, slurp( node_log($i) );
	say_line( "n$i says: ", ( $last // 'nothing' ) =~ s/\n//r );
	failure("badtable: node $i does not name the file") unless ( $last // '' ) =~ /\.sst/;
	power_ask( $i, 'fail none' );
	kill_node($i);
	start_node($i);
	return;
}

sub sync_slow { my ($event) = @_; strike( $event, 'n' . tell_disk( $event, 'delay 200' ) ); return }
sub sync_fast { my ($event) = @_; tell_disk( $event, 'delay 0' ); return }

sub syncs_lie {
	my ($event) = @_;
	$event->{nodes} = [ nodes_up() ];
	power_ask( $_, 'fail lie' ) for 1 .. $world{nodes};
	wait_for(2);
	strike($event);
	say_line( join '; ', power_cut( 'all', @{ $event->{nodes} } ) );
	return;
}

sub syncs_true {
	my ($event) = @_;
	power_ask( $_, 'fail none' ) for 1 .. $world{nodes};
	power_back($event);
	return;
}

# name, held for how many seconds, begin, end, text, how the disks are made
my @kinds = (
	[ 'power', [ 0.2, 1.5 ], \&one_loses, \&power_back,
		'the power of one node fails: what it had not synced is lost or torn' ],
	[ 'power-all', [ 0.1, 0.5 ], \&all_lose, \&power_back,
		'the power of all nodes fails at the same moment' ],
	[ 'badsync', [ 0.5, 1.5 ], \&sync_fails, \&sync_works,
		'a sync fails and loses bytes for good: the node stops, and starts again' ],
	[ 'badtable', [ 1, 2 ], \&table_fails, \&table_works,
		'the database of a node cannot make a table file: the node stops, the others go on', \&flushing_disks ],
	[ 'badread', undef, \&read_fails, \&read_works,
		'a node cannot read its disk: it does not start; then it can' ],
	[ 'slowsync', [ 3, 5 ], \&sync_slow, \&sync_fast,
		'every sync of a node takes 200 ms longer, and all else on its disk waits for it' ],
	[ 'lie', [ 0.1, 0.5 ], \&syncs_lie, \&syncs_true,
		'a canary: syncs do nothing until the power of all fails; the judges must find what is lost' ],
);
for my $kind (@kinds) {
	my ( $name, $hold, $begin, $end, $text, $prepare ) = @$kind;
	fault name => $name, text => $text, needs => \&power_needs, prepare => $prepare // \&power_disks,
		hold => $hold, begin => $begin, end => $end;
}

1;
