#!/usr/bin/perl
# The installed tree, as a user meets it. Run by `make installcheck`, which sets
#   TALLY_SRC, TALLY_DESTDIR (may be empty), TALLY_BIN, TALLY_LIB, TALLY_INCLUDE, TALLY_MAN,
#   TALLY_COMPLETION, TALLY_SHARE (as configured, without DESTDIR), CC
use strict;
use warnings;
use File::Temp qw(tempdir);
use lib "$ENV{TALLY_SRC}/tests/scenario/lib";
use Cluster;

my ( $count, $failed ) = ( 0, 0 );

sub ok($$@) {
	my ( $good, $text, @why ) = @_;
	$count++;
	$failed++ unless $good;
	printf "%sok %d - %s\n", $good ? '' : 'not ', $count, $text;
	print map {"# $_\n"} @why unless $good;
	return $good;
}

# The output of a command; $? is its status.
sub run {
	my (@command) = @_;
	my $pid = open( my $out, '-|' ) // die "fork: $!";
	if ( !$pid ) {
		open STDERR, '>&', \*STDOUT;
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	local $/;
	my $text = <$out> // '';
	close $out;
	return $text;
}

my $dest = $ENV{TALLY_DESTDIR} // '';
my %at = map { lc, "$dest$ENV{\"TALLY_$_\"}" } qw(BIN LIB INCLUDE MAN COMPLETION SHARE);
for my $file (
	"$at{bin}/tallyd",          "$at{bin}/tally",
	"$at{include}/tally.h",     "$at{lib}/libtally.so",
	"$at{lib}/libtally.so.0",   "$at{lib}/libtally.a",
	"$at{lib}/pkgconfig/tally.pc", "$at{man}/man1/tally.1",
	"$at{man}/man8/tallyd.8",   "$at{completion}/tally",
	"$at{share}/commerce/tables.lua", "$at{share}/commerce/order/flash_buy.lua"
	)
{
	ok( -s $file, "$file is installed" );
}

# Only tally_* leaves the libraries.
for my $list ( [ 'libtally.so.0', '-D' ], [ 'libtally.a', '-g' ] ) {
	my ( $file, $flag ) = @$list;
	my @names = map { /^\S+ [A-TV-Z] (\S+)/ ? $1 : () } split /\n/, run( 'nm', $flag, "$at{lib}/$file" );
	my @alien = grep { !/^tally_/ } @names;
	ok( @names > 20 && !@alien, "$file gives away tally_* and nothing else", "names: " . @names, @alien );
}
ok( run( 'readelf', '-d', "$at{lib}/libtally.so.0" ) =~ /SONAME.*\[libtally\.so\.0\]/, 'its soname is libtally.so.0' );

my ($version) = run( "$at{bin}/tallyd", '--version' ) =~ /([0-9.]+)/;
$ENV{PKG_CONFIG_PATH} = "$at{lib}/pkgconfig" . ( $ENV{PKG_CONFIG_PATH} ? ":$ENV{PKG_CONFIG_PATH}" : '' );
$ENV{PKG_CONFIG_SYSROOT_DIR} = $dest if $dest ne '';
chomp( my $told = run(qw(pkg-config --modversion tally)) );
ok( $told eq ( $version // '' ), "pkg-config and tallyd tell the same version", "$told, " . ( $version // 'none' ) );

# A user's program, by both libraries, against the installed server.
$ENV{TALLY_BUILD} = $at{bin};
my $cluster = Cluster->new( nodes => 1 );
$cluster->start(1);
my $leader = $cluster->leader;
my $dir    = tempdir( CLEANUP => 1 );
my @cc     = split ' ', $ENV{CC} // 'cc';
my %flags  = (
	shared => [ split ' ', run(qw(pkg-config --cflags --libs tally)) ],
	static => [ map { $_ eq '-ltally' ? '-l:libtally.a' : $_ } split ' ', run(qw(pkg-config --static --cflags --libs tally)) ],
);
for my $kind ( sort keys %flags ) {
	my $said = run( @cc, '-Wall', '-Wextra', '-Werror', '-std=c11', "$ENV{TALLY_SRC}/client/examples/hello.c", '-o', "$dir/$kind",
		@{ $flags{$kind} } );
	ok( $? == 0, "a program compiles with the $kind library", $said ) or next;
	my $needs = run( 'readelf', '-d', "$dir/$kind" ) =~ /NEEDED.*libtally/;
	ok( $kind eq 'shared' ? $needs : !$needs, "the $kind one " . ( $kind eq 'shared' ? 'needs' : 'does not need' ) . ' libtally.so' );
	local $ENV{LD_LIBRARY_PATH} = $at{lib};
	my $greeting = run( "$dir/$kind", "127.0.0.1:$cluster->{client_port}{$leader}" );
	ok( $? == 0 && $greeting eq "hello\n", "the $kind one sets and gets", "status $?", $greeting );
}
# The others need libuv's header, too, as their heads say.
my @loop = ( split ' ', run(qw(pkg-config --cflags --libs tally libuv)) );
for my $example (qw(flash_buy order outcomes)) {
	my $said = run( @cc, '-Wall', '-Wextra', '-Werror', "$ENV{TALLY_SRC}/client/examples/$example.c", '-o', "$dir/$example", @loop );
	ok( $? == 0, "the example $example compiles against the installed tree", $said );
}
my $tool = run( "$at{bin}/tally", 'get', 'greeting', '--servers', "127.0.0.1:$cluster->{client_port}{$leader}" );
ok( $tool =~ /hello/, 'the installed tool reads what it wrote', $tool );

# What a sale that stays offers to try is there to be tried.
my $data = tempdir( CLEANUP => 1 );
my $stays = run( "$at{bin}/tally", 'bench', 'sale', '--local', '1', '--units', '10', '--buyers', '20', '--keep', '--unsafe', '--dir', $data );
my ($nodes) = $stays =~ /^Stop it with: kill ([0-9 ]+)$/m;
my ($offer) = $stays =~ /Try next:\n\n(.*?)\n\n/s;
my @gone    = grep { m{^/} && !-x } map { /^ *(\S+)/ } split /\n/, $offer // '';
ok( defined $nodes && defined $offer && !@gone, 'a sale that stays offers programs that are there', $stays, @gone );
kill 'TERM', split ' ', $nodes if defined $nodes;
my ($code) = $cluster->term(1);
ok( $code == 0, 'the installed server ends when asked', "status $code" );
print "1..$count\n";
exit( $failed ? 1 : 0 );
