package Faults::Clock;

# The wall clock of single nodes, by libfaketime: every process reads its own file
# at each look at the clock. The monotonic clock stays what it is, but for clock-pace.
use strict;
use warnings;
use World;
use Nodes;
use Registry;

my $library = ( glob '/usr/lib/*/faketime/libfaketimeMT.so.1' )[0];

sub clock_needs {
	return 'libfaketime is not installed' unless $library;
	return 'the address sanitizer wants to be the first library' if slurp("$build/tallyd") =~ /libasan/;
	return;
}

sub clock_file { return "$world{dir}/clock$_[0]" }

# Renamed into place: a node reads the old line or the new one.
sub set_clock {
	my ( $i, $line ) = @_;
	my $path = clock_file($i);
	open my $out, '>', "$path.new" or die "nemesis: $path.new: $!\n";
	print $out "$line\n";
	close $out or die "nemesis: $path.new: $!\n";
	rename "$path.new", $path or die "nemesis: $path: $!\n";
	return;
}

sub prepare_clocks {
	die "nemesis: clock-pace wants a run without the other clock kinds\n" if $world{clocks}++;
	for my $i ( 1 .. $world{nodes} ) {
		set_clock( $i, '+0' );
		node_env( $i, LD_PRELOAD              => $library );
		node_env( $i, FAKETIME_TIMESTAMP_FILE => clock_file($i) );
		node_env( $i, FAKETIME_NO_CACHE       => 1 );
		node_env( $i, DONT_FAKE_MONOTONIC     => 1 );
		node_env( $i, NO_FAKE_STAT            => 1 );
	}
	return;
}

# Here the monotonic clock is libfaketime's too, and the time-outs of waits. It reckons from the start of the process, so
# that a rate that changed would make the clock jump, also back: a life has one rate.
sub prepare_paces {
	prepare_clocks();
	node_env( $_, DONT_FAKE_MONOTONIC => 0 ) for 1 .. $world{nodes};
	return;
}

sub live_at {
	my ( $i, $line ) = @_;
	kill_node($i);
	set_clock( $i, $line );
	start_node($i);
	return;
}

# draw: the line of the file, and the words for it.
sub clock_fault {
	my (%row) = @_;
	fault(
		hold    => [ 2, 5 ],
		needs   => \&clock_needs,
		prepare => \&prepare_clocks,
		begin   => sub {
			my ($event) = @_;
			my $i = $event->{node} = victim() or return;
			my $line = $row{draw}->();
			set_clock( $i, $line );
			strike( $event, "n$i $line" );
			failure("node $i does not run under libfaketime") if slurp( '/proc/' . node_pid($i) . '/maps' ) !~ /libfaketime/;
		},
		end => sub { my ($event) = @_; set_clock( $event->{node}, '+0' ) if $event->{node} },
		%row
	);
	return;
}

sub some_seconds { return 1 + int exp rand log 86400 }

clock_fault name => 'clock-forward', text => 'the wall clock of a node jumps ahead, seconds to a day, and back',
	draw => sub { return '+' . some_seconds() };

clock_fault name => 'clock-back', text => 'the wall clock of a node jumps back, seconds to a day, and returns',
	draw => sub { return '-' . some_seconds() };

clock_fault name => 'clock-rate', text => 'the wall clock of a node runs at half to ten times its rate',
	draw => sub { my @rates = ( 0.5, 0.9, 1.1, 2, 10 ); return '+0 x' . $rates[ rand @rates ] };

fault name => 'clock-pace', text => 'a node is started whose clocks, also the monotonic one, run at half to twice their rate',
	hold    => [ 4, 6 ],
	needs   => \&clock_needs,
	prepare => \&prepare_paces,
	begin   => sub {
		my ($event) = @_;
		my $i = $event->{node} = some_node() or return;
		my @rates = ( 0.5, 0.8, 1.25, 2 );
		my $rate = $rates[ rand @rates ];
		live_at( $i, "+0 x$rate" );
		strike( $event, "n$i x$rate" );
	},
	end => sub {
		my ($event) = @_;
		my $i = $event->{node} or return;
		failure("node $i does not run under libfaketime") if slurp( '/proc/' . node_pid($i) . '/maps' ) !~ /libfaketime/;
		live_at( $i, '+0' );
	};

1;
