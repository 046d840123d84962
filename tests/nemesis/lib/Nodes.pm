package Nodes;

# The tallyd processes: how each is started, who is up, who leads, and whether one
# ended that nobody ended. A fault that needs its nodes to be started in a special
# way says so before they start, in its `prepare`, with node_wrap, node_env, node_dir.
use strict;
use warnings;
use Exporter qw(import);
use File::Path qw(make_path);
use JSON::PP;
use POSIX qw(WIFSIGNALED WTERMSIG WEXITSTATUS);
use Time::HiRes qw(sleep);
use World;
use Network;

our @EXPORT = qw(forget_nodes node_wrap node_group node_option node_env node_dir node_out node_log node_pid nodes_up expect_stop expect_life start_node kill_node signal_node
	stop_node watch_nodes wait_for gone_within servers leader leads term rests_within some_node victim others shuffled check_nodes exit_text);

my ( %pid, %wrap, %group, %option, %env, %dir, %out, %may_stop, %excused, %held );

# Another run begins.
sub forget_nodes { %{$_} = () for \( %pid, %wrap, %group, %option, %env, %dir, %out, %may_stop, %excused, %held ); return }

# The command is put in front of tallyd's; it must exec the rest, for the process is the node.
sub node_wrap { my ( $i, @words ) = @_; push @{ $wrap{$i} }, @words; return }

# The node lives in this cgroup (v1) from its start on. In its namespace nobody sees cgroups, so a wrap could not do it.
sub node_group {
	my ( $i, $path ) = @_;
	undo( "cgroup $path", sub { rmdir $path } );
	mkdir $path or die "nemesis: $path: $!\n";
	push @{ $group{$i} }, $path;
	return;
}

# More settings on tallyd's command line.
sub node_option { my ( $i, @words ) = @_; push @{ $option{$i} }, @words; return }

# LD_PRELOADs of several faults add up.
sub node_env {
	my ( $i, $name, $value ) = @_;
	$value = "$env{$i}{$name}:$value" if $name eq 'LD_PRELOAD' && $env{$i}{$name};
	$env{$i}{$name} = $value;
	return;
}

# Where a node keeps its data; with a second word it is there from now on.
sub node_dir {
	my ( $i, $where ) = @_;
	if ( defined $where ) {
		die "nemesis: two faults want the data directory of node $i ($dir{$i}, $where)\n" if $dir{$i};
		$dir{$i} = $where;
	}
	return $dir{$i} // "$world{dir}/n$i";
}

# What it says goes there, and somebody brings it into its log.
sub node_out { my ( $i, $path ) = @_; $out{$i} = $path; return }

sub node_log { return "$world{dir}/n$_[0].log" }
sub node_pid { return $pid{ $_[0] } }
sub nodes_up { return sort { $a <=> $b } keys %pid }

# The node may end by itself until it is started again; and what it says about it is no fault of its.
sub expect_stop { my ($i) = @_; $may_stop{$i} = $excused{$i} = 1; return }

# It went well: from now on an end is a failure again.
sub expect_life { my ($i) = @_; delete $may_stop{$i}; return }

sub start_node {
	my ($i) = @_;
	return if $pid{$i};
	delete $may_stop{$i};
	delete $held{$i};
	my @members = map { ( '--member', "$_=" . address($_) . ":7501," . address($_) . ':7401' ) } 1 .. $world{nodes};
	my @env = map {"$_=$env{$i}{$_}"} sort keys %{ $env{$i} // {} };
	my @groups = map { ( 'sh', '-c', "echo \$\$ >$_/cgroup.procs && exec \"\$@\"", 'sh' ) } @{ $group{$i} // [] };
	make_path("$world{dir}/cwd$i");
	$pid{$i} = spawn( "node $i", { out => $out{$i} // node_log($i), cwd => "$world{dir}/cwd$i" }, @groups,
		qw(prlimit --core=unlimited setpriv --pdeathsig KILL), in_ns( $i, @{ $wrap{$i} // [] }, ( @env ? ( 'env', @env ) : () ),
			"$build/tallyd", '--id', $i, '--name', "n$i", '--dir', node_dir($i),
			'--listen', address($i) . ':7401', '--peer-listen', address($i) . ':7501', '--core-dumps', 'yes', @members,
			@{ $option{$i} // [] } ) );
	return;
}

sub signal_node {
	my ( $i, $signal ) = @_;
	kill $signal, $pid{$i} if $pid{$i};
	$held{$i} = $signal eq 'STOP' if $signal =~ /^(?:STOP|CONT)$/;
	return;
}

sub exit_text {
	my ($status) = @_;
	return 'exit status ' . WEXITSTATUS($status) unless WIFSIGNALED($status);
	return 'signal ' . WTERMSIG($status) . ( $status & 128 ? ' with a core' : '' );
}

# A node ended, and not by our hand.
sub ended {
	my ( $i, $status ) = @_;
	my $how = exit_text($status);
	if ( $may_stop{$i} ) {
		say_line("node $i stopped, as it must: $how");
		unlink glob "$world{dir}/cwd$i/*core*"; # fatal() aborts
		return;
	}
	failure("node $i ended and nobody ordered it: $how");
	say_line("node $i ended and nobody ordered it ($how); the end of its log:");
	my @lines = split /\n/, slurp( node_log($i) );
	say_line("    $_") for @lines > 5 ? @lines[ -5 .. -1 ] : @lines;
	return;
}

sub kill_node {
	my ($i) = @_;
	my $pid = delete $pid{$i} or return;
	kill_process( $pid, 'KILL' );
	ended( $i, $? ) if $? != 9; # it was quicker
	return;
}

# SIGTERM, and up to 10 s of patience: its status and how long it took.
sub stop_node {
	my ($i) = @_;
	my $pid = delete $pid{$i} or return;
	my $began = now_us();
	kill 'TERM', $pid;
	while ( now_us() - $began < 10e6 ) {
		return ( $?, ( now_us() - $began ) / 1e6 ) if reap($pid);
		sleep 0.02;
	}
	kill_process( $pid, 'KILL' );
	return ( $?, 10 );
}

sub watch_nodes {
	for my $i ( nodes_up() ) {
		next unless reap( $pid{$i} );
		delete $pid{$i};
		ended( $i, $? );
	}
	return;
}

sub wait_for {
	my ($seconds) = @_;
	my $until = now_us() + $seconds * 1e6;
	while ( now_us() < $until ) {
		watch_nodes();
		sleep 0.05;
	}
	return;
}

# A node that must end by itself: whether it does, in so many seconds.
sub gone_within {
	my ( $i, $seconds ) = @_;
	my $until = now_us() + $seconds * 1e6;
	wait_for(0.1) while node_pid($i) && now_us() < $until;
	return !node_pid($i);
}

sub servers { return join ',', map { address($_) . ':7401' } 1 .. $world{nodes} }

# What the nodes tell of themselves, those that answer.
sub statuses {
	my $text = capture( 3, in_ns( 'h', "$build/tally", 'status', '--json', '--timeout', '1s', '--servers', servers() ) );
	my $nodes = eval { decode_json($text) } // [];
	return @{$nodes};
}

# The highest term that a node tells; 0 when none answers.
sub term {
	my ($highest) = sort { $b <=> $a } map { $_->{status} ? $_->{status}{term} // 0 : 0 } statuses();
	return $highest // 0;
}

# The leader as the nodes that answer see it, else the first that is up.
sub leader {
	for my $node ( statuses() ) {
		my $id = $node->{status} && $node->{status}{role} eq 'leader' && $node->{status}{node} or next;
		return $id if $pid{$id};
	}
	return ( nodes_up() )[0];
}

# Whether a node says that it leads.
sub leads {
	my ($i) = @_;
	return grep { $_->{status} && $_->{status}{node} == $i && $_->{status}{role} eq 'leader' } statuses();
}

# Who leads in the highest term that a node tells, and that term; '' when nobody does.
sub reign {
	my @told = sort { $b->{term} <=> $a->{term} } map { $_->{status} ? $_->{status} : () } statuses();
	my @leaders = grep { $_->{role} eq 'leader' && $_->{term} == $told[0]{term} } @told;
	return @leaders == 1 ? "$leaders[0]{node} $leaders[0]{term}" : '';
}

# Waits until one leads, and goes on for so long: the seconds until it began; undef when nobody does in time.
sub rests_within {
	my ( $seconds, $for ) = @_;
	my $began = now_us();
	my ( $seen, $since ) = ( '', $began );
	while ( $since - $began < $seconds * 1e6 ) {
		my $now = reign();
		( $seen, $since ) = ( $now, now_us() ) if $now eq '' || $now ne $seen;
		return ( $since - $began ) / 1e6 if $seen ne '' && now_us() - $since > $for * 1e6;
		wait_for(0.1);
	}
	return;
}

# Not one that SIGSTOP holds: what strikes it beside that is not felt.
sub some_node { my @up = grep { !$held{$_} } nodes_up(); return $up[ int rand @up ] }
sub victim { return rand() < 0.6 ? leader() : some_node() }
sub others { my ($i) = @_; return grep { $_ != $i } 1 .. $world{nodes} }
sub shuffled { my @list = @_; my @out; push @out, splice( @list, int rand @list, 1 ) while @list; return @out }

# What the nodes left behind: reports in their output, cores.
sub check_nodes {
	for my $i ( 1 .. $world{nodes} ) {
		for my $line ( split /^/, slurp( node_log($i) ) ) {
			my $report = $line =~ /Sanitizer|runtime error:|Assertion/;
			chomp $line;
			failure("node $i says: $line") if $report || ( $line =~ /^fatal:/ && !$excused{$i} );
		}
		failure("node $i left a core: $_") for glob "$world{dir}/cwd$i/*core*";
	}
	return;
}

1;
