package Faults::Pressure;

# A node that gets too little of the machine: processor time, memory (cgroup v1).
use strict;
use warnings;
use List::Util qw(max min);
use World;
use Nodes;
use Registry;

use constant ROOT => '/sys/fs/cgroup';

sub group { my ( $what, $i ) = @_; return ROOT . "/$what/tally-$$-n$i" }

sub set {
	my ( $path, $value ) = @_;
	open my $out, '>', $path or die "nemesis: $path: $!\n";
	print $out "$value\n";
	return close $out;
}

sub needs_group {
	my ( $what, $file ) = @_;
	return -w ROOT . "/$what/$file" ? undef : "no $what controller of cgroup v1";
}

# Each node in a group of its own.
sub make_groups {
	my ($what) = @_;
	node_group( $_, group( $what, $_ ) ) for 1 .. $world{nodes};
	return;
}

# One change is right: who has no time cannot lead. Leadership that goes round is flapping.
use constant TERMS_MOST => 6;
use constant PERIOD_US  => 100_000;

# What a node has run, in us; of all its threads.
sub run_us {
	my ($i) = @_;
	my $sum = 0;
	for my $file ( glob '/proc/' . ( node_pid($i) // 0 ) . '/task/*/schedstat' ) {
		open my $in, '<', $file or next; # a thread that ended
		my ($ns) = split ' ', <$in> // 0;
		$sum += $ns / 1000;
	}
	return $sum;
}

# A third of the processor time that a node takes, and a tenth of a processor at most: it misses both.
sub quota_us {
	my ($i) = @_;
	my ( $ran, $at ) = ( run_us($i), now_us() );
	wait_for(0.5);
	my $third = ( run_us($i) - $ran ) / ( now_us() - $at ) * PERIOD_US / 3;
	return int max( 1000, min( PERIOD_US / 10, $third ) ); # the kernel takes no less
}

fault name => 'starve', text => 'a node has a third of the processor time that it takes, at most 10 % of one (cgroup v1); leadership must not flap',
	needs   => sub { return needs_group( 'cpu', 'cpu.shares' ) },
	prepare => sub { make_groups('cpu') },
	hold    => [ 4, 6 ],
	begin   => sub {
		my ($event) = @_;
		$event->{term} = term() or return;
		my $i = $event->{node} = victim() or return;
		my $quota = quota_us($i);
		set( group( 'cpu', $i ) . '/cpu.cfs_period_us', PERIOD_US );
		set( group( 'cpu', $i ) . '/cpu.cfs_quota_us',  $quota );
		strike( $event, sprintf 'n%d %.1f %%', $i, 100 * $quota / PERIOD_US );
	},
	end => sub {
		my ($event) = @_;
		my $i = $event->{node} or return;
		my ($throttled) = slurp( group( 'cpu', $i ) . '/cpu.stat' ) =~ /nr_throttled (\d+)/;
		set( group( 'cpu', $i ) . '/cpu.cfs_quota_us', -1 );
		my $terms = term() - $event->{term};
		say_line("       starve: throttled $throttled times, $terms terms");
		unstrike($event) unless $throttled;
		failure("starve: $terms terms while node $i had little time") if $terms > TERMS_MOST;
	};

# How often a page was asked for and another had to go first, or none was left.
sub failures { my ($i) = @_; return slurp( group( 'memory', $i ) . '/memory.failcnt' ) + 0 }

# And how often the kernel ended somebody for it. Whom it ended may still be dying.
sub kills { my ($i) = @_; return slurp( group( 'memory', $i ) . '/memory.oom_control' ) =~ /^oom_kill (\d+)/m ? $1 : 0 }

# The kernel takes what it can from the node's files, and refuses a limit below the rest: the lowest that it takes.
sub set_memory {
	my ( $i, $bytes ) = @_;
	my $step = 128 * 1024;
	for ( 1 .. 256 ) {
		return $bytes if set( group( 'memory', $i ) . '/memory.limit_in_bytes', $bytes );
		$bytes += $step;
	}
	return 0;
}

fault name => 'squeeze', text => 'a node may have hardly more memory than it has (cgroup v1): it lives on, or the kernel ends it',
	needs   => sub { return needs_group( 'memory', 'memory.use_hierarchy' ) },
	prepare => sub { make_groups('memory') },
	hold    => [ 3, 5 ],
	begin   => sub {
		my ($event) = @_;
		my $i = $event->{node} = victim() or return;
		my ($rss) = slurp( group( 'memory', $i ) . '/memory.stat' ) =~ /^rss (\d+)/m;
		return unless $rss;
		expect_stop($i);
		@{$event}{qw(before killed)} = ( failures($i), kills($i) );
		my $most = set_memory( $i, $rss ) or return;
		strike( $event, sprintf 'n%d has %.1f MiB, may have %.1f', $i, $rss / 1048576, $most / 1048576 );
	},
	end => sub {
		my ($event) = @_;
		my $i = $event->{node} or return;
		my $hits = failures($i) - ( $event->{before} // 0 );
		set( group( 'memory', $i ) . '/memory.limit_in_bytes', -1 );
		gone_within( $i, 10 ) if defined $event->{killed} && kills($i) > $event->{killed};
		say_line( "       squeeze: the limit was hit $hits times; n$i ", node_pid($i) ? 'lives' : 'is gone' );
		unstrike($event) unless $hits;
		node_pid($i) ? expect_life($i) : start_node($i);
	};

1;
