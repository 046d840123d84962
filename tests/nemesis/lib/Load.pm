package Load;

# The clients (nemesis-load, in the clients' namespace) and what is asked of the
# cluster when they have ended.
use strict;
use warnings;
use Exporter qw(import);
use JSON::PP;
use Time::HiRes qw(sleep);
use World;
use Network;
use Nodes;

our @EXPORT = qw(push_bundle start_load finish_load converge);

my $load; # its pid

sub push_bundle {
	my $until = now_us() + 20e6;
	until ( capture( 10, in_ns( 'h', "$build/tally", 'script', 'push', "$src/commerce", 'commerce', '--servers', servers() ) ) =~ /commerce/ ) {
		die "nemesis: the bundle could not be pushed\n" if now_us() > $until;
		wait_for(0.3);
	}
	return;
}

sub start_load {
	my (%option) = @_;
	my $out = "$world{dir}/load.out";
	unlink $out;
	$load = spawn( 'load', { out => $out }, qw(setpriv --pdeathsig KILL), in_ns( 'h', "$build/nemesis-load", '--servers', servers(), '--workload', $option{workload},
			'--clients', $option{clients}, '--seconds', $option{time}, '--rate', $option{rate} // 0, '--seed', $option{seed},
			'--history', "$world{dir}/history.jsonl" ) );
	my $until = now_us() + 30e6;
	while ( slurp($out) !~ /^ready/m ) {
		die "nemesis: the load did not start:\n" . slurp($out) if now_us() > $until || reap($load);
		sleep 0.05;
	}
	$world{load_began_us} = now_us();
	$world{load_end_us}   = now_us() + $option{time} * 1e6;
	return;
}

# Waits for its verdict, and returns what it printed.
sub finish_load {
	my ( $until, $ended ) = ( now_us() + 180e6, 0 );
	until ( $ended = reap($load) ) {
		last if now_us() > $until;
		wait_for(0.1);
	}
	kill_process( $load, 'KILL' ) unless $ended;
	my $status = $?;
	my $out = slurp("$world{dir}/load.out");
	failure( 'the judges found something: ' . ( $out =~ /^verdict (.*)/m ? $1 : $ended ? exit_text($status) : 'no verdict after 180 s' ) )
		if $status != 0;
	return $out;
}

# Every node must come to hold the same bytes.
sub converge {
	my $until = now_us() + 30e6;
	my %seen;
	while ( now_us() < $until ) {
		watch_nodes();
		my $text = capture( 20, in_ns( 'h', "$build/tally", 'hash', '--json', '--timeout', '5s', '--servers', servers() ) );
		my $nodes = eval { decode_json($text) } // [];
		%seen = ();
		$seen{ $_->{hash} ? "$_->{hash} at index $_->{index}" : "no answer from $_->{address}" }++ for @{$nodes};
		return ( keys %seen )[0] if keys %seen == 1 && @{$nodes} == $world{nodes} && ( keys %seen )[0] !~ /^no/;
		sleep 0.5;
	}
	failure( 'the nodes do not hold the same bytes: ' . join ' ', sort keys %seen );
	return;
}

1;
