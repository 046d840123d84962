package World;

# What one run made, and how it is undone: processes, commands, the clock, what
# went wrong. Whatever outlives a call is registered here *before* it is made, so
# that a run that is interrupted at any moment leaves nothing behind.
use strict;
use warnings;
use Exporter qw(import);
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use POSIX qw(:signal_h :sys_wait_h);
use Time::HiRes qw(sleep clock_gettime CLOCK_MONOTONIC);

our @EXPORT = qw(%world $src $build now_us say_line failure skip_run undo undo_all guarded spawn reap
	kill_process must quiet capture capture_while slurp);

our $src   = $ENV{TALLY_SRC}   // abs_path( dirname(__FILE__) . '/../../..' );
our $build = $ENV{TALLY_BUILD} // "$src/build";

our %world;          # this run's; other modules keep their own words in it
my @undo;            # [ text, code ], undone from the last to the first
my %processes;       # pid => the signal that ends it, of what was spawned and not yet reaped
my $started_by = $$; # a child that dies between fork and exec undoes nothing

sub now_us { return int( clock_gettime(CLOCK_MONOTONIC) * 1e6 ) }
# Progress, for people.
sub say_line {
	printf { $world{progress} // \*STDOUT } "[%6.1f s] %s\n", ( now_us() - ( $world{began_us} // now_us() ) ) / 1e6, join '', @_;
	return;
}

# The run has failed, and goes on.
sub failure { my ($text) = @_; push @{ $world{failures} }, $text; return }

# This machine cannot do what was asked.
sub skip_run { my ($why) = @_; $world{leave_nothing} = 1; print "skipped: $why\n"; exit 77 }

# ---- undoing ----

sub undo { my ( $text, $code ) = @_; push @undo, [ $text, $code ]; return }

sub undo_all {
	return if $$ != $started_by;
	local @SIG{qw(INT TERM HUP)} = ('IGNORE') x 3;
	kill $processes{$_}, $_ for keys %processes;
	kill_process( $_, $processes{$_} ) for keys %processes;
	while ( my $step = pop @undo ) {
		eval { $step->[1]->(); 1 } or print "nemesis: could not undo ($step->[0]): $@";
	}
	return;
}

# Whichever program it is that uses this. Perl takes handlers away before it comes to END, and a lane of a suite is told by
# the terminal and by the suite: the second word must not find it without one.
my @deadly = qw(INT TERM HUP);
$SIG{$_} = sub { @SIG{@deadly} = ('IGNORE') x @deadly; $world{leave_nothing} = 1; say_line('interrupted'); exit 1 } for @deadly;
END { my $status = $?; undo_all(); $? = $status }

# ---- commands and processes ----

my $deadly = POSIX::SigSet->new( SIGINT, SIGTERM, SIGHUP );

# Runs code that a signal may not cut in two.
sub guarded {
	my ($code) = @_;
	my $before = POSIX::SigSet->new;
	sigprocmask( SIG_BLOCK, $deadly, $before );
	my @result = eval { $code->() };
	my $error = $@;
	sigprocmask( SIG_SETMASK, $before );
	die $error if $error;
	return wantarray ? @result : $result[0];
}

# Starts a process that dies with this one. %io: in, out (a handle, or the path of a file that grows), cwd, end (the
# signal it is ended with, when not KILL: it is waited for while it undoes what it made).
sub spawn {
	my ( undef, $io, @command ) = @_; # its name is for who reads
	return guarded( sub {
		my $pid = fork // die "nemesis: fork: $!\n";
		if ($pid) {
			$processes{$pid} = $io->{end} // 'KILL';
			return $pid;
		}
		my $ok = eval {
			my ( $in, $out ) = ( $io->{in}, $io->{out} // '/dev/null' );
			if ($in) { open STDIN, '<&', $in or die "$!\n" }
			else     { open STDIN, '<', '/dev/null' or die "$!\n" }
			if   ( ref $out ) { open STDOUT, '>&', $out or die "$!\n" }
			else              { open STDOUT, '>>', $out or die "$!\n" }
			if ( !$io->{errors} ) { open STDERR, '>&', \*STDOUT or die "$!\n" }
			chdir $io->{cwd} or die "$!\n" if $io->{cwd};
			sigprocmask( SIG_UNBLOCK, $deadly );
			exec { $command[0] } @command;
		};
		POSIX::_exit(127);
	} );
}

# True when the process has ended; $? is its status then.
sub reap {
	my ($pid) = @_;
	return 0 unless waitpid( $pid, WNOHANG ) == $pid;
	delete $processes{$pid};
	return 1;
}

# Ends one of our processes and waits for it; $? is its status.
sub kill_process {
	my ( $pid, $signal ) = @_;
	return unless delete $processes{$pid};
	kill $signal, $pid;
	kill 'CONT', $pid;
	waitpid $pid, 0;
	return;
}

sub quiet {
	my @command = @_;
	return guarded( sub {
		my $pid = spawn( $command[0], {}, @command );
		waitpid $pid, 0;
		delete $processes{$pid};
		return $? == 0;
	} );
}

sub must { my @command = @_; quiet(@command) or die "nemesis: failed: @command\n"; return }

# What a command prints within so many seconds; then it is ended.
sub capture { my ( $seconds, @command ) = @_; return capture_while( $seconds, sub {1}, @command ) }

# The same as long as this holds, which is asked ten times a second.
sub capture_while {
	my ( $seconds, $holds, @command ) = @_;
	pipe my $read, my $write or die "nemesis: pipe: $!\n";
	my $pid = spawn( $command[0], { out => $write, errors => 1 }, @command );
	close $write;
	my ( $text, $until ) = ( '', now_us() + $seconds * 1e6 );
	while (1) {
		my $left = ( $until - now_us() ) / 1e6;
		vec( my $ready = '', fileno $read, 1 ) = 1;
		last if $left <= 0 || !$holds->();
		next unless select $ready, undef, undef, $left < 0.1 ? $left : 0.1;
		last unless sysread $read, $text, 65536, length $text;
	}
	kill_process( $pid, 'KILL' );
	return $text;
}

sub slurp {
	my ($path) = @_;
	open my $in, '<', $path or return '';
	local $/;
	return <$in> // '';
}

1;
