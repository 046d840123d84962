package Registry;

# The fault kinds. A kind is a row that a file in lib/Faults adds with `fault`; a
# run strikes one after the other, or those joined by + at the same time.
#
#   fault name => 'pause', text => 'one line for `nemesis faults`',
#     needs   => sub { ... },       why this machine cannot, or undef; asked before anything is made
#     prepare => sub { ... },       once, when the network stands and no node runs yet
#     begin   => sub { my ($event) = @_; strike( $event, "n$i" ) ... },
#     hold    => [ from_s, to_s ],  how long it lasts, drawn
#     least   => 50,                in percent of the quiet time: what clients must get done meanwhile (Report)
#     end     => sub { my ($event) = @_; ... },  makes it good again; also after an unsuccessful begin
#
# $event is a hash of this one time: begin keeps there what end needs. A fault
# counts from the moment that begin calls strike; one that never did has not struck.
use strict;
use warnings;
use Exporter qw(import);
use World;
use Network;
use Nodes;

our @EXPORT = qw(fault fault_names fault_missing fault_row fault_needs fault_prepare fault_run strike unstrike);

my %rows;

sub fault {
	my (%row) = @_;
	for my $field (qw(name text begin)) { die "a fault without $field\n" unless $row{$field} }
	die "two faults are called $row{name}\n" if $rows{ $row{name} };
	$rows{ $row{name} } = \%row;
	return;
}

sub fault_names { return sort keys %rows }
sub fault_row { my ($name) = @_; return $rows{$name} // die "nemesis: unknown fault '$name'; `nemesis faults` lists them\n" }

sub rows_of { my ($kinds) = @_; return map { fault_row($_) } split /[+]/, $kinds }

# Why this machine cannot do one of the kinds, or undef.
sub fault_needs {
	my (@kinds) = @_;
	for my $row ( map { rows_of($_) } @kinds ) {
		my $why = $row->{needs} ? $row->{needs}->() : undef;
		return "$row->{name}: $why" if defined $why;
	}
	return;
}

# Rows that share one prepare share its call.
sub fault_prepare {
	my (@kinds) = @_;
	my %done;
	for my $row ( map { rows_of($_) } @kinds ) {
		$row->{prepare}->() if $row->{prepare} && !$done{ $row->{prepare} }++;
	}
	return;
}

# Kinds that were asked for and never struck.
sub fault_missing {
	my (@kinds) = @_;
	my %struck = map { $_->{kind} => 1 } @{ $world{events} };
	my %missing = map { $_->{name} => 1 } grep { !$struck{ $_->{name} } } map { rows_of($_) } @kinds;
	return sort keys %missing;
}

# The moment at which a fault takes effect; detail is whom it hits and how hard.
sub strike {
	my ( $event, $detail ) = @_;
	$event->{began_us} = now_us();
	$event->{detail}   = $detail // '';
	push @{ $world{events} }, $event;
	say_line( "fault: $event->{kind}", length $event->{detail} ? " $event->{detail}" : '' );
	return;
}

# It turned out to have had no effect.
sub unstrike {
	my ($event) = @_;
	$world{events} = [ grep { $_ != $event } @{ $world{events} } ];
	return;
}

sub fault_run {
	my ($kinds) = @_;
	my ( $hold, @events ) = (0);
	my $group = ++$world{fault_groups};
	for my $row ( rows_of($kinds) ) {
		my $event = { kind => $row->{name}, group => $group, row => $row };
		push @events, $event;
		$row->{begin}->($event);
		my ( $from, $to ) = @{ $row->{hold} // [ 0, 0 ] };
		my $drawn = $from + rand( $to - $from );
		$hold = $drawn if $drawn > $hold;
	}
	wait_for($hold);
	for my $event ( reverse @events ) {
		$event->{row}{end}->($event) if $event->{row}{end};
		$event->{ended_us} = now_us();
	}
	return;
}

1;
