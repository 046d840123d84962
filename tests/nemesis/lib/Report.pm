package Report;

# What a run was worth: how long no write was acknowledged after each fault, how
# much work was done under fire, and what stays unknown. Reads the clients' history
# and puts the faults into it.
use strict;
use warnings;
use Exporter qw(import);
use JSON::PP;
use World;

our @EXPORT = qw(mark_history make_report join_reports print_report print_table write_json);

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
	my ( %count, %asked_to_write, @acks, @writes );
	open my $in, '<', "$world{dir}/history.jsonl" or return { acks => [], writes => [], count => {} };
	while ( my $line = <$in> ) {
		my ($type) = $line =~ /"type":"(\w+)"/ or next;
		$asked_to_write{$1} = 1
			if $type eq 'invoke' && $line =~ /"f":"(?:write|cas|buy|move|swap)"/ && $line =~ /"op":(\d+)/;
		next if $type eq 'invoke' || $type eq 'nemesis' || $line =~ /"f":"(?:allot|order|stock)"/;
		$count{$type}++;
		next if $type ne 'ok';
		my ($t) = $line =~ /"t_us":(\d+)/ or next;
		push @acks, $t;
		# What a transaction was made of stands in its answer.
		push @writes, $t if $line =~ /"f":"append"/ || ( $line =~ /"op":(\d+)/ && $asked_to_write{$1} );
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

# Faults that struck together are one: by the first of them, under their joined name.
sub strokes {
	my ( %strokes, @order );
	for my $event ( @{ $world{events} } ) {
		my $stroke = $strokes{ $event->{group} };
		if ( !$stroke ) {
			push @order, $strokes{ $event->{group} } = { kind => $event->{kind}, detail => $event->{detail}, began_us => $event->{began_us} };
			next;
		}
		$stroke->{kind}   .= "+$event->{kind}";
		$stroke->{detail} .= ", $event->{detail}";
	}
	return @order;
}

# From its begin to the next acknowledged write, whatever else begins meanwhile, and the
# longest time between two until the next one begins.
sub add_gaps {
	my ( $stroke, $until_us, $end_us, $writes ) = @_;
	my $from = $stroke->{began_us};
	my ($next) = within( $from, $end_us, @{$writes} );
	my @later = within( $from, $until_us, @{$writes} );
	my ( $longest, $last ) = ( 0, $from );
	for my $at ( @later, $until_us ) {
		$longest = $at - $last if $at - $last > $longest;
		$last = $at;
	}
	$stroke->{next_ms} = ( ( $next // $end_us ) - $from ) / 1e3;
	$stroke->{gap_ms}  = $longest / 1e3;
	return;
}

# By kind, in whole milliseconds.
sub figures_of {
	my (@strokes) = @_;
	my ( %of, %figures );
	push @{ $of{ $_->{kind} } }, $_ for @strokes;
	for my $kind ( keys %of ) {
		my $figures = $figures{$kind} = { count => scalar @{ $of{$kind} } };
		for my $what (qw(next gap)) {
			my @ms = map { $_->{"${what}_ms"} } @{ $of{$kind} };
			$figures->{"${what}_max_ms"} = int( 0.5 + quantile( 1,    @ms ) );
			$figures->{"${what}_p99_ms"} = int( 0.5 + quantile( 0.99, @ms ) );
		}
	}
	return \%figures;
}

sub rate { my ( $count, $us ) = @_; return $us > 0 ? $count * 1e6 / $us : 0 }

# A kind that says what clients must get done meanwhile, in percent of the quiet time, and struck alone.
sub check_goodput {
	my ( $quiet, @acks ) = @_;
	my %together;
	$together{ $_->{group} }++ for @{ $world{events} };
	for my $event ( grep { $_->{row}{least} && $_->{ended_us} && $together{ $_->{group} } == 1 } @{ $world{events} } ) {
		my ( $from, $to, $least ) = ( $event->{began_us}, $event->{ended_us}, $event->{row}{least} );
		my $percent = $quiet ? 100 * rate( scalar within( $from, $to, @acks ), $to - $from ) / $quiet : 0;
		say_line( sprintf '%s: %.0f %% of the quiet time\'s work', $event->{kind}, $percent );
		failure( sprintf '%s: %.0f %% of the quiet time\'s work, and %d must be', $event->{kind}, $percent, $least ) if $percent < $least;
	}
	return;
}

# Of a run whose clients have ended; asked is what the run was asked for.
sub make_report {
	my ($asked) = @_;
	my $history = read_history();
	my ( $began, $quiet_end, $end ) = @world{qw(load_began_us quiet_end_us load_end_us)};
	my @strokes = strokes();
	for my $at ( 0 .. $#strokes ) {
		add_gaps( $strokes[$at], $at < $#strokes ? $strokes[ $at + 1 ]{began_us} : $end, $end, $history->{writes} );
	}
	my %count = map { $_ => $history->{count}{$_} // 0 } qw(ok fail info);
	my $operations = $count{ok} + $count{fail} + $count{info};
	$began += 500_000; # connections are made, caches are cold
	my $quiet = rate( scalar within( $began, $quiet_end, @{ $history->{acks} } ), $quiet_end - $began );
	my $fire  = rate( scalar within( $quiet_end, $end, @{ $history->{acks} } ), $end - $quiet_end );
	my $struck = @{ $world{events} };
	check_goodput( $quiet, @{ $history->{acks} } );
	return {
		( map { $_ => $asked->{$_} } qw(workload nodes clients time rate seed) ), kinds => $asked->{faults},
		operations => $operations, ok => $count{ok}, fail => $count{fail}, unknown => $count{info},
		unknown_percent => $operations ? 100 * $count{info} / $operations : 0,
		quiet_per_s => $quiet, fire_per_s => $fire, fire_percent => $quiet ? 100 * $fire / $quiet : 0,
		struck => $struck, struck_per_minute => 60 * rate( $struck, $end - $quiet_end ),
		strokes => \@strokes, faults => figures_of(@strokes),
	};
}

# Of all runs of a suite.
sub join_reports {
	my (@reports) = @_;
	return { faults => figures_of( map { @{ $_->{strokes} } } @reports ), runs => \@reports };
}

sub print_faults {
	my ($report) = @_;
	say_line('ms without an acknowledged write: to the next one after the fault; the longest until the next fault');
	say_line( sprintf '  %-26s %5s  %8s %8s  %8s %8s', 'fault', 'times', 'next p99', 'max', 'gap p99', 'max' );
	for my $kind ( sort keys %{ $report->{faults} } ) {
		say_line( sprintf '  %-26s %5d  %8d %8d  %8d %8d', $kind,
			@{ $report->{faults}{$kind} }{qw(count next_p99_ms next_max_ms gap_p99_ms gap_max_ms)} );
	}
	return;
}

sub print_report {
	my ($report) = @_;
	print_faults($report);
	my @longest = sort { $b->{gap_ms} <=> $a->{gap_ms} } @{ $report->{strokes} };
	say_line( sprintf '  %.0f ms after %s', $_->{gap_ms}, join ' ', grep {length} @{$_}{qw(kind detail)} )
		for splice @longest, 0, 3;
	say_line( sprintf 'goodput %.0f/s under faults, %.0f %% of the %.0f/s before them; %d faults, %.1f a minute',
		@{$report}{qw(fire_per_s fire_percent quiet_per_s struck struck_per_minute)} );
	say_line( sprintf '%d operations: %d ok, %d failed, %d unknown (%.2f %%)',
		@{$report}{qw(operations ok fail unknown unknown_percent)} );
	return;
}

# To the file that --json names, or to standard output.
sub write_json {
	my ( $path, $report ) = @_;
	my $text = JSON::PP->new->canonical->pretty->encode($report);
	if ( $path eq '' ) { print $text; return }
	open my $out, '>', $path or die "nemesis: $path: $!\n";
	print $out $text;
	close $out or die "nemesis: $path: $!\n";
	return;
}

# One line a run, at the end of a suite, and the faults of all.
sub print_table {
	my (@reports) = @_;
	print_faults( join_reports(@reports) );
	say_line( sprintf '%-8s %-52s %5s %7s %8s %8s %7s %8s  %s', 'workload', 'faults', 'ok/s', '% quiet', 'a minute', 'next max', 'gap max',
		'unknown', 'verdict' );
	for my $report (@reports) {
		my @strokes = @{ $report->{strokes} };
		say_line( sprintf '%-8s %-52s %5.0f %7.0f %8.1f %8.0f %7.0f %6.2f %%  %s', @{$report}{qw(workload kinds fire_per_s fire_percent)},
			$report->{struck_per_minute}, quantile( 1, map { $_->{next_ms} } @strokes ),
			quantile( 1, map { $_->{gap_ms} } @strokes ), $report->{unknown_percent},
			@{ $report->{failures} } ? "FAILED ($report->{kept})" : 'holds' );
	}
	return;
}

1;
