package Faults::Wire;

# What a wire does to frames, by nemesis-proxy: one in the namespace of each node,
# through which everything goes that the node dials at its peers. Partitions are
# the kernel's and hit what the proxy sends as well.
use strict;
use warnings;
use List::Util qw(max min);
use World;
use Network;
use Nodes;
use Registry;

my ( $port, $mark ) = ( 7600, 7 );
my @nat = (
	'add table ip nemesis',
	'add chain ip nemesis out { type nat hook output priority -100 ; }',
	"add rule ip nemesis out meta mark != $mark tcp dport 7501 redirect to :$port",
);

sub needs_redirect {
	return quiet( qw(unshare -n nft), join '; ', @nat ) ? undef : 'nftables cannot redirect here (root, nf_nat)';
}

my %proxies; # node => { to, from }
my %active;  # node => kind => its settings, of the kinds that are at work

sub start_proxies {
	%active = ();
	for my $i ( 1 .. $world{nodes} ) {
		pipe my $in,   my $to  or die "nemesis: pipe: $!\n";
		pipe my $from, my $out or die "nemesis: pipe: $!\n";
		$to->autoflush(1);
		spawn( "proxy $i", { in => $in, out => $out, errors => 1 },
			in_ns( $i, "$build/nemesis-proxy", '--port', $port, '--mark', $mark, '--seed', 1 + int rand 1e9 ) );
		$proxies{$i} = { to => $to, from => $from };
		ask( $i, 'counts' );
		nft( $i, $_ ) for @nat;
	}
	return;
}

sub ask {
	my ( $i, $line ) = @_;
	local $SIG{PIPE} = 'IGNORE';
	print { $proxies{$i}{to} } "$line\n";
	my $answer = readline $proxies{$i}{from};
	die "nemesis: the proxy of node $i does not obey '$line': " . ( $answer // 'it is gone' ) . "\n"
		if !defined $answer || $answer =~ /^error/;
	return $answer;
}

# How often a proxy has done something.
sub counted { my ( $i, $what ) = @_; return ask( $i, 'counts' ) =~ /\b$what=(\d+)/ ? $1 : 0 }

# Tells the proxy of a node what all kinds together want.
sub set_proxy {
	my ($i) = @_;
	my %all = map { %{$_} } values %{ $active{$i} };
	ask( $i, join ' ', 'set', map {"$_=$all{$_}"} sort keys %all );
	return;
}

# draw: the settings of this time for these nodes, as the proxy's words. effect: what it must have counted in the end.
sub wire_fault {
	my (%row) = @_;
	fault(
		hold    => [ 2, 5 ],
		needs   => \&needs_redirect,
		prepare => \&start_proxies,
		begin   => sub {
			my ($event) = @_;
			my $victim = victim() or return;
			$event->{nodes} = rand() < 0.5 ? [$victim] : [ 1 .. $world{nodes} ];
			my %set = $row{draw}->( @{ $event->{nodes} } );
			for my $i ( @{ $event->{nodes} } ) {
				$event->{before} += counted( $i, $row{effect} );
				$active{$i}{ $event->{kind} } = \%set;
				set_proxy($i);
			}
			strike( $event, join ' ', @{ $event->{nodes} } > 1 ? 'all' : "n$victim", map {"$_=$set{$_}"} sort keys %set );
		},
		end => sub {
			my ($event) = @_;
			return unless $event->{nodes};
			my $count = 0;
			for ( 1 .. 50 ) { # rare bits on a calm line
				$count = -$event->{before};
				$count += counted( $_, $row{effect} ) for @{ $event->{nodes} };
				last if $count;
				wait_for(0.1);
			}
			for my $i ( @{ $event->{nodes} } ) {
				delete $active{$i}{ $event->{kind} };
				set_proxy($i);
			}
			say_line("       $event->{kind}: $row{effect} $count");
			unstrike($event) unless $count;
		},
		%row
	);
	return;
}

sub between { my ( $from, $to ) = @_; return $from + int rand( $to - $from + 1 ) }

wire_fault name => 'slow-net', text => 'frames are 1 to 200 ms late, with jitter', effect => 'late',
	draw => sub { my $delay = between( 1, 200 ); return ( delay => $delay, jitter => between( 0, $delay ) ) };

# So many bytes or frames a second the busiest of these nodes exchanges with its peers now.
sub busiest {
	my ( $what, @nodes ) = @_;
	my $us     = now_us();
	my %before = map { $_ => counted( $_, $what ) } @nodes;
	wait_for(0.5);
	return max( map { counted( $_, $what ) - $before{$_} } @nodes ) * 1e6 / ( now_us() - $us );
}

# A bound far above what they say (a follower of a cluster that does 200/s says 10 KB/s) chokes nobody, and a byte that
# no connection comes to cuts none. Of the sum of both directions a tenth to two fifths is less than the larger of them.
wire_fault name => 'throttle', effect => 'choked',
	text => 'what a node (or each) says to its peers has 20 to 300 KB/s, or two fifths of what it says where that is less',
	draw => sub { return ( rate => int max( 1000, min( 1000 * between( 20, 300 ), busiest( 'bytes', @_ ) * between( 10, 40 ) / 100 ) ) ) };

wire_fault name => 'reorder', text => 'frames swap places; the connections of a pair overtake each other', effect => 'swapped',
	draw => sub { return ( swap => between( 20, 200 ), lag => between( 0, 100 ) ) };

wire_fault name => 'duplicate', text => 'whole frames come twice', effect => 'duplicated',
	draw => sub { return ( duplicate => between( 20, 300 ) ) };

wire_fault name => 'replay', text => 'old frames come again, also those of closed connections', effect => 'replayed',
	draw => sub { return ( replay => between( 20, 300 ) ) };

# Of 1000 frames; three a second where there are few.
wire_fault name => 'corrupt', text => 'bits of frames flip', effect => 'corrupted',
	draw => sub { return ( corrupt => int max( between( 1, 10 ), min( 300, 3000 / ( 1 + busiest( 'frames', @_ ) ) ) ) ) };

wire_fault name => 'half-open', text => 'connections end at some byte: vanish, half of them, or reset', effect => 'cut',
	draw => sub { return ( cut => between( 1, 3 ), after => int max( 100, min( 65536, busiest( 'bytes', @_ ) / 10 ) ) ) };

1;
