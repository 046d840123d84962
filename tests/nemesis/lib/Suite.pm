package Suite;

# Many runs in lanes, side by side. Each is a nemesis of its own, `nemesis run`, with its namespaces, its folder and its
# own way to undo what it made; here is told what becomes of them. A lane that is told to end undoes first.
use strict;
use warnings;
use Exporter qw(import);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use JSON::PP;
use Time::HiRes qw(sleep);
use World;
use Registry;
use Report;

our @EXPORT = qw(run_suite);

# Kinds that a tree or a machine does not have are left out, and told.
my @rows = (
	[ register => 'kill,isolate,pause,partition,freeze,wiped' ],
	[ append   => 'kill,partition,slow-net,reorder,transfers,clock-pace' ],
	[ sale     => 'kill,killall,term,duplicate,storm+kill,restored,swapped' ],
	[ register => 'ring,bridge,deaf,oneway,replay,starve,swizzle' ],
	[ append   => 'loss,reset,flap,half-open,mute' ],
	[ sale     => 'pause-long,blind,throttle,unheard+kill' ],
	[ register => 'eio,slowdisk,corrupt,power,badsync' ],
	[ bank     => 'killall,loop,power-all,clock-back,slowsync,badtable' ],
	[ sale     => 'partition+reorder,badread,slow,clock-rate' ],
	[ register => 'term,pause+slow-net,flap,corrupt+kill,squeeze,crowd' ],
	[ append   => 'full,readonly,oneway,slowblock' ],
	[ ring     => 'badblock,kill,isolate+replay,loss,clock-forward' ],
);

# rate: of all runs but one in so many (whole), which every row comes to be in turn. lanes: a processor; 0: one in all.
my %suites = (
	full => { rounds => 1,  lanes => 0 },
	soak => { rounds => 40, lanes => 3, rate => 200, whole => 40 },
);

sub possible_kinds {
	my ($faults) = @_;
	my @possible;
	for my $kinds ( split /,/, $faults ) {
		my $why = fault_needs($kinds);
		push @possible, $kinds unless defined $why;
		say_line("skipped: $why") if defined $why;
	}
	return join ',', @possible;
}

sub draw_up {
	my ( $suite, %option ) = @_;
	my @possible = map { possible_kinds( $_->[1] ) } @rows;
	my @runs;
	for my $round ( 1 .. $option{rounds} // $suite->{rounds} ) {
		for my $at ( grep { length $possible[$_] } 0 .. $#rows ) {
			my %run = ( %option, workload => $rows[$at][0], faults => $possible[$at], seed => $round * 1000 + $option{seed} );
			$run{rate} //= $suite->{rate};
			delete $run{rate} if $suite->{whole} && ( $round + 7 * $at ) % $suite->{whole} == 0; # spread over the rounds
			push @runs, \%run;
			$run{number} = @runs;
		}
	}
	return @runs;
}

sub start_run {
	my ($run) = @_;
	my %words = ( %{$run}, json => "$world{dir}/$run->{number}.json" );
	$words{dir} .= "/$run->{number}" if $words{dir};
	return spawn( "run $run->{number}", { out => "$world{dir}/$run->{number}.log", end => 'TERM' },
		qw(setpriv --pdeathsig TERM), "$src/tests/nemesis/nemesis", 'run', $run->{keep} ? '--keep' : (),
		map {"--$_=$words{$_}"} grep { defined $words{$_} } qw(workload faults time rate seed nodes clients dir json) );
}

# The report of a run that has ended, or undef when the machine could not do it.
sub end_run {
	my ( $run, $status ) = @_;
	my $log = slurp("$world{dir}/$run->{number}.log");
	if ( $status >> 8 == 77 ) {
		print { $world{progress} } ( split /^/, $log )[-1];
		return;
	}
	my $report = eval { decode_json( slurp("$world{dir}/$run->{number}.json") ) }
		// { %{$run}, kinds => $run->{faults}, strokes => [], faults => {}, kept => 'see its log', failures => ["no report: status $status"] };
	print { $world{progress} } $log =~ s/^/    /mgr if @{ $report->{failures} };
	return $report;
}

sub hours { my (@runs) = @_; my $s = 0; $s += $_->{time} for @runs; return $s / 3600 }

sub say_run {
	my ( $run, $runs, @reports ) = @_;
	my $report = $reports[-1];
	say_line( sprintf '%d of %d runs, %.2f of %.2f h, %d failed. %s under %s, %sseed %d: %s', scalar @reports, scalar @{$runs},
		hours(@reports), hours( @{$runs} ), scalar( grep { @{ $_->{failures} } } @reports ), @{$run}{qw(workload faults)},
		$run->{rate} ? "at most $run->{rate}/s, " : '', $run->{seed},
		@{ $report->{failures} } ? 'FAILED' : sprintf '%.0f/s, %d faults, %d unknown, %.0f s of CPU', @{$report}{qw(fire_per_s struck unknown cpu_s)} );
	return;
}

# Of all processes that were waited for, and those that they waited for: of a whole run once it was reaped.
sub cpu_s { my ( undef, undef, $user, $system ) = times; return $user + $system }

# They begin a second apart.
sub run_lanes {
	my ( $lanes, @runs ) = @_;
	my ( %lane, @reports );
	my @waiting = @runs;
	while ( @waiting || %lane ) {
		if ( @waiting && keys %lane < $lanes ) {
			my $run = shift @waiting;
			$lane{ start_run($run) } = $run;
		}
		sleep 1;
		for my $pid ( keys %lane ) {
			my $before = cpu_s();
			next unless reap($pid);
			my $run = delete $lane{$pid};
			my $report = end_run( $run, $? ) or next;
			$report->{cpu_s} = cpu_s() - $before;
			push @reports, $report;
			say_run( $run, \@runs, @reports );
		}
	}
	return @reports;
}

# Returns the reports of its runs.
sub run_suite {
	my ( $name, %option ) = @_;
	my $suite = $suites{$name} or die "nemesis: quick, full or soak\n";
	%world = ( progress => $option{progress}, began_us => now_us(), failures => [] );
	my $lanes = $option{lanes} // ( $suite->{lanes} * capture( 5, 'nproc' ) || 1 );
	my @runs = draw_up( $suite, %option ) or skip_run('none of its faults is possible here');
	my $dir = $world{dir} = tempdir( 'tally-suite-XXXXXX', DIR => $ENV{TMPDIR} // '/var/tmp' );
	undo( "folder $dir", sub { remove_tree($dir) } );
	say_line( sprintf '%d runs, %.2f h of them, %d side by side', scalar @runs, hours(@runs), $lanes );
	my @reports = run_lanes( $lanes, @runs ) or skip_run('no run was possible here');
	print_table(@reports);
	my $failed = grep { @{ $_->{failures} } } @reports;
	my $cpu_s = 0;
	$cpu_s += $_->{cpu_s} for @reports;
	say_line( sprintf 'suite %s: %d runs, %.2f h, %d failed; %.0f s of CPU', $name, scalar @reports, hours(@reports), $failed, $cpu_s );
	undo_all();
	return @reports;
}

1;
