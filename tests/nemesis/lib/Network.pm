package Network;

# A namespace a node and one for the clients ('h'), joined by a bridge there. A
# partition is a rule of nftables in the namespace of the one that shall not hear.
use strict;
use warnings;
use Exporter qw(import);
use World;

our @EXPORT = qw(address ns in_ns make_network nft deafen cut heal_network);

sub address { return "10.77.0." . ( 10 + $_[0] ) }
sub ns { return "$world{prefix}-$_[0]" }
sub in_ns { my ( $which, @command ) = @_; return ( 'ip', 'netns', 'exec', ns($which), @command ) }

sub make_namespace {
	my ($which) = @_;
	my $name = ns($which);
	undo( "namespace $name", sub { quiet( 'ip', 'netns', 'del', $name ) } );
	quiet( 'ip', 'netns', 'add', $name )
		or skip_run('this machine does not let us make network namespaces (root is needed)');
	quiet( in_ns( $which, 'ip', 'link', 'set', 'lo', 'up' ) )
		or skip_run('ip netns exec does not work here (a chroot whose / is no mount point?)');
	return;
}

sub make_network {
	$world{prefix} = "tn$$";
	make_namespace($_) for 'h', 1 .. $world{nodes};
	quiet( in_ns( 'h', qw(ip link add br0 type bridge) ) ) or skip_run('the kernel has no bridges');
	must( in_ns( 'h', qw(ip addr add 10.77.0.1/24 dev br0) ) );
	must( in_ns( 'h', qw(ip link set br0 up) ) );
	for my $i ( 1 .. $world{nodes} ) {
		must( 'ip', '-n', ns('h'), 'link', 'add', "v$i", 'type', 'veth', 'peer', 'name', 'eth0', 'netns', ns($i) );
		must( in_ns( 'h', 'ip', 'link', 'set', "v$i", 'master', 'br0', 'up' ) );
		must( in_ns( $i, 'ip', 'addr', 'add', address($i) . '/24', 'dev', 'eth0' ) );
		must( in_ns( $i, qw(ip link set eth0 up) ) );
		quiet( in_ns( $i, qw(nft add table inet nemesis) ) ) or skip_run('nftables does not work here');
		nft( $i, 'add chain inet nemesis in { type filter hook input priority 0 ; }' );
	}
	return;
}

sub nft { my ( $i, $rule ) = @_; must( in_ns( $i, 'nft', $rule ) ); return }

# Node i drops what comes from the given nodes ('h' is the clients' host).
sub deafen {
	my ( $i, @from ) = @_;
	for my $j (@from) {
		nft( $i, 'add rule inet nemesis in ip saddr ' . ( $j eq 'h' ? '10.77.0.1' : address($j) ) . ' drop' );
	}
	return;
}

sub cut { my ( $i, $j ) = @_; deafen( $i, $j ); deafen( $j, $i ); return }
sub heal_network { nft( $_, 'flush chain inet nemesis in' ) for 1 .. $world{nodes}; return }

1;
