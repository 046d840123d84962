package Faults::Sink;

# What the nodes say goes through pipes, and the readers of the pipes stand still.
use strict;
use warnings;
use Fcntl;
use POSIX qw(mkfifo);
use World;
use Network;
use Nodes;
use Registry;

my ( %pipe, %reader );

# The pipe's other end is held here, so that nobody waits for nobody.
sub make_pipes {
	( %pipe, %reader ) = ();
	for my $i ( 1 .. $world{nodes} ) {
		my $path = "$world{dir}/n$i.pipe";
		mkfifo( $path, 0600 ) or die "nemesis: $path: $!\n";
		sysopen $pipe{$i}, $path, O_RDWR | O_NONBLOCK or die "nemesis: $path: $!\n";
		node_out( $i, $path );
		open my $in, '<', $path or die "nemesis: $path: $!\n";
		$reader{$i} = spawn( "reader $i", { in => $in, out => node_log($i) }, qw(grep --line-buffered -v ^[.]*$) );
	}
	return;
}

# To the last byte; true when not one more fits.
sub fill {
	my ($i) = @_;
	my $line = '.' x 1023 . "\n";
	for ( 1 .. 1024 ) { defined syswrite $pipe{$i}, $line or last }
	for ( 1 .. 1024 ) { defined syswrite $pipe{$i}, "\n"  or last }
	vec( my $ready = '', fileno $pipe{$i}, 1 ) = 1;
	return !select undef, $ready, undef, 0;
}

fault name => 'unheard', text => 'nobody reads what the nodes say, and their pipes are full',
	prepare => \&make_pipes,
	hold    => [ 3, 5 ],
	begin   => sub {
		my ($event) = @_;
		kill 'STOP', values %reader;
		my $full = grep { fill($_) } 1 .. $world{nodes};
		strike( $event, 'all' ) if $full == $world{nodes};
	},
	end => sub { kill 'CONT', values %reader };

1;
