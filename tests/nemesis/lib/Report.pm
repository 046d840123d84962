package Report;

# What a run was worth: how long no write was acknowledged after each fault, how
# much work was done under fire, and what stays unknown. Reads the clients' history
# and puts the faults into it.
use strict;
use warnings;
use Exporter qw(import);
use JSON::PP;
use World;

our @EXPORT = qw(mark_history make_report print_report print_table report_json);

# The lines of the faults, between those of the clients, in order of time (docs/history.md).
sub fault_lines {
	my $json = JSON::PP->new->canonical;
	my @lines;
	for my $event ( @{ $world{events} } ) {
		my %line = ( type => 'nemesis', fault => $event->{kind}, detail => $event->{detail} );
		push @lines, [ $event->{began_us}, $json->encode( { %line, at => 'begin', t_us => $event->{began_us} } ) ];
		push @lines, [ $event->{ended_us}, $json->encode( { %line, at => 'end', t_us => $event->{ended_us} } ) ] if $event->{ended_us};
	}
	return sort { $a->[0] <=> $b->[0] } @lines;
}

sub mark_history {
	my $path  = "$world{dir}/history.jsonl";
	my @lines = fault_lines();
	open my $in, '<', $path or return;
	open my $out, '>', "$path.new" or die "nemesis: $path.new: $!\n";
	while ( my $line = <$in> ) {
		my ($t) = $line =~ /"t_us":(\d+)/;
		print $out ( shift @lines )->[1], "\n" while @lines && defined $t && $lines[0][0] <= $t;
		print $out $line;
	}
	print $out "$_->[1]\n" for @lines;
	close $out or die "nemesis: $path.new: $!\n";
	rename "$path.new", $path or die "nemesis: $path: $!\n";
	return;
}

# When answers came: all, and those of writes; and how many operations ended how.
sub read_history {
	my ( %count, @acks, @writes );
	open my $in, '<', "$world{dir}/history.jsonl" or return { acks => [], writes => [], count => {} };
	while ( my $line = <$in> ) {
		my ($type) = $line =~ /"type":"(\w+)"/ or next;
		next if $type eq 'invoke' || $type eq 'nemesis';
		$count{$type}++;
		next if $type ne 'ok';
		my ($t) = $line =~ /"t_us":(\d+)/ or next;
		push @acks, $t;
		push @writes, $t if $line =~ /"f":"(?:write|cas|buy|append)"/;
	}
	@acks   = sort { $a <=> $b } @acks;
	@writes = sort { $a <=> $b } @writes;
	return { acks => \@acks, writes => \@writes, count => \%count };
}

sub within { my ( $from, $to, @times ) = @_; return grep { $_ >= $from && $_ < $to } @times }

sub quantile {
	my ( $part, @values ) = @_;
	return 0 unless @values;
	@values = sort { $a <=> $b } @values;
	my $rank = int( $part * @values + 0.999999 );
	return $values[ $rank < 1 ? 0 : $rank - 1 ];
}

# For one event: from its begin to the next acknowledged write, and the longest
# time between two until the next fault begins.
sub gaps_of {
	my ( $event, $until_us, $writes ) = @_;
	my $from = $event->{began_us};
	my @later = within( $from, $until_us, @{$writes} );
	my ( $next, $longest, $last ) = ( ( $later[0] // $until_us ) - $from, 0, $from );
	for my $at ( @later, $until_us ) {
		$longest = $at - $last if $at - $last > $longest;
		$last = $at;
	}
	return { next_s => $next / 1e6, longest_s => $longest / 1e6 };
}

sub fault_figures {
	my ( $end_us, $writes ) = @_;
	my ( %gaps, @longest );
	my @events = @{ $world{events} };
	for my $event (@events) {
		my ($following) = grep { $_->{group} > $event->{group} } @events;
		my $gaps = gaps_of( $event, $following ? $following->{began_us} : $end_us, $writes );
		push @{ $gaps{ $event->{kind} } }, $gaps;
		push @longest, { seconds => $gaps->{longest_s}, fault => join ' ', grep {length} $event->{kind}, $event->{detail} };
	}
	my %faults;
	for my $kind ( keys %gaps ) {
		my @next = map { $_->{next_s} } @{ $gaps{$kind} };
		my @long = map { $_->{longest_s} } @{ $gaps{$kind} };
		$faults{$kind} = {
			count => scalar @next, next_max_s => quantile( 1, @next ), next_p99_s => quantile( 0.99, @next ),
			longest_max_s => quantile( 1, @long ), longest_p99_s => quantile( 0.99, @long ),
		};
	}
	@longest = sort { $b->{seconds} <=> $a->{seconds} } @longest;
	return ( \%faults, [ splice @longest, 0, 5 ] );
}

sub rate { my ( $count, $us ) = @_; return $us > 0 ? $count * 1e6 / $us : 0 }

# Of a run whose clients have ended: option is what was asked for.
sub make_report {
	my ($option) = @_;
	my $history = read_history();
	my @events = @{ $world{events} };
	my ( $began, $quiet_end, $end ) = @world{qw(load_began_us quiet_end_us load_end_us)};
	my ( $faults, $longest ) = fault_figures( $end, $history->{writes} );
	my %count = map { $_ => $history->{count}{$_} // 0 } qw(ok fail info);
	my $operations = $count{ok} + $count{fail} + $count{info};
	$began += 500_000; # connections are made, caches are cold
	my $quiet = rate( scalar within( $began, $quiet_end, @{ $history->{acks} } ), $quiet_end - $began );
	my $fire  = rate( scalar within( $quiet_end, $end, @{ $history->{acks} } ), $end - $quiet_end );
	return {
		( map { $_ => $option->{$_} } qw(workload faults nodes clients time seed) ),
		operations => $operations, ok => $count{ok}, fail => $count{fail}, unknown => $count{info},
		unknown_percent => $operations ? 100 * $count{info} / $operations : 0,
		quiet_per_s => $quiet, fire_per_s => $fire, fire_percent => $quiet ? 100 * $fire / $quiet : 0,
		faults_struck => scalar @events, faults_per_minute => 60 * rate( scalar @events, $end - $quiet_end ),
		by_fault => $faults, longest => $longest,
	};
}

sub print_report {
	my ($report) = @_;
	say_line('without an acknowledged write, in s: to the next one after the fault; the longest until the next fault');
	say_line( sprintf '  %-14s %5s  %8s %8s  %8s %8s', 'fault', 'times', 'next p99', 'max', 'long p99', 'max' );
	for my $kind ( sort keys %{ $report->{by_fault} } ) {
		say_line( sprintf '  %-14s %5d  %8.3f %8.3f  %8.3f %8.3f', $kind,
			@{ $report->{by_fault}{$kind} }{qw(count next_p99_s next_max_s longest_p99_s longest_max_s)} );
	}
	say_line( sprintf '  %.3f s: %s', @{$_}{qw(seconds fault)} ) for @{ $report->{longest} };
	say_line( sprintf 'goodput %.0f/s under faults, %.0f %% of the %.0f/s before them; %d faults, %.1f a minute',
		@{$report}{qw(fire_per_s fire_percent quiet_per_s faults_struck faults_per_minute)} );
	say_line( sprintf '%d operations: %d ok, %d failed, %d unknown (%.2f %%)',
		@{$report}{qw(operations ok fail unknown unknown_percent)} );
	return;
}

sub report_json {
	my ($what) = @_;
	return JSON::PP->new->canonical->pretty->encode($what);
}

# One line a run, at the end of a suite.
sub print_table {
	my (@reports) = @_;
	say_line( sprintf '%-9s %-34s %6s %8s %8s %8s %7s %8s  %s', 'workload', 'faults', 'ok/s', '% quiet', 'a minute', 'next max', 'longest',
		'unknown', 'verdict' );
	for my $report (@reports) {
		my @rows = values %{ $report->{by_fault} };
		say_line( sprintf '%-9s %-34s %6.0f %8.0f %8.1f %8.3f %7.3f %6.2f %%  %s', @{$report}{qw(workload faults fire_per_s fire_percent)},
			$report->{faults_per_minute}, quantile( 1, map { $_->{next_max_s} } @rows ),
			quantile( 1, map { $_->{longest_max_s} } @rows ), $report->{unknown_percent},
			@{ $report->{failures} } ? "FAILED ($report->{kept})" : 'holds' );
	}
	return;
}

1;
