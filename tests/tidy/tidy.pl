#!/usr/bin/perl
# The house's rules that a compiler does not know, as TAP: allowed edges between
# rooms, one room a foreign header, a README a folder, no forbidden calls, file
# lengths. Prints the house's figures as notes.
use strict;
use warnings;
use File::Find;

my $top = $ENV{TALLY_SRC} // '.';
chdir $top or die "tidy: cannot enter $top: $!\n";

# room => the rooms it may include from, besides itself, base and wire.
my %edges = (
	'src/base'    => [],
	'src/wire'    => [],
	'src/env'     => [],
	'src/store'   => [],
	'src/txn'     => ['src/store'],
	'src/command' => [ 'src/txn', 'src/store' ],
	'src/script'  => [ 'src/command', 'src/txn', 'src/store' ],
	'src/engine'  => [ 'src/script', 'src/command', 'src/txn', 'src/store', 'raft', 'src/env' ],
	'src/server'  => [ 'src/engine', 'src/env', 'src/command' ],
	'raft'        => ['src/env'],
	'client'      => ['src/env'],
	'client/tool' => [ 'client', 'src/env' ],
	'client/examples' => [],
);
# header => the only room that may include it.
my %foreign = (
	'uv.h'        => qr{^(src/env|client/(blocking|loop|tool|examples))},
	'rocksdb/c.h' => qr{^src/store},
	'raft.h'      => qr{^raft/},
	'lua.h'       => qr{^src/script},
	'lualib.h'    => qr{^src/script},
	'lauxlib.h'   => qr{^src/script},
	'xxhash.h'    => qr{^src/base},
	'jansson.h'   => qr{^src/wire/json},
	'ini.h'       => qr{^src/server/config},
);
# Calls that would bypass env, or are never wanted.
my %forbidden = map { $_ => 1 } qw(time clock_gettime gettimeofday rand random srand getrandom usleep sleep strcpy strcat sprintf gets);
my $may_call = qr{^(src/env/|client/tool/|client/examples/|src/server/main|tests/)};

my ( $count, $failed ) = ( 0, 0 );
sub ok {
	my ( $cond, $text, @why ) = @_;
	$count++;
	$failed++ unless $cond;
	printf "%sok %d - %s\n", $cond ? '' : 'not ', $count, $text;
	print "# $_\n" for @why;
}

my @files;
find( { no_chdir => 1, wanted => sub { push @files, $File::Find::name =~ s{^\./}{}r if -f && /\.[ch]$/ } }, 'src', 'raft', 'client', 'tests' );
@files = sort @files;

sub room_of {
	my ($path) = @_;
	for my $room ( sort { length $b <=> length $a } keys %edges ) {
		return $room if index( $path, "$room/" ) == 0;
	}
	return;
}

sub slurp {
	my ($path) = @_;
	open my $in, '<', $path or die "tidy: $path: $!\n";
	local $/;
	return scalar <$in>;
}

sub path_of_include {
	my ($name) = @_;
	return "src/$name" if -e "src/$name";
	return $name if -e $name;
	return;
}

my ( %used, @edge, @alien, @call, @long, @mark, %dirs );
my ( %functions, %lengths, %asserts );
for my $path (@files) {
	my $text  = slurp($path);
	my $room  = room_of($path);
	my @lines = split /\n/, $text, -1;
	( my $dir = $path ) =~ s{/[^/]+$}{};
	$dirs{$dir} = 1;
	for my $i ( 0 .. $#lines ) {
		my $at = "$path:" . ( $i + 1 );
		if ( $lines[$i] =~ /^\s*#\s*include\s+"([^"]+)"/ && $room ) {
			my $target = path_of_include($1);
			if ( !$target ) {
				push @edge, "$at: includes \"$1\", which is nowhere below src/ or the top";
				next;
			}
			my $to = room_of($target) // 'tests';
			my %may = map { $_ => 1 } $room, 'src/base', 'src/wire', @{ $edges{$room} };
			push @edge, "$at: $room may not include from $to ($1)" unless $may{$to};
			$used{"$room $to"} = 1;
		}
		if ( $lines[$i] =~ /^\s*#\s*include\s+<([^>]+)>/ && exists $foreign{$1} ) {
			push @alien, "$at: <$1> has another room"
				unless $path =~ $foreign{$1} || $path =~ m{^tests/};
		}
		push @mark, "$at: $lines[$i]" if $lines[$i] =~ /\b(TODO|FIXME|XXX)\b/;
	}
	if ( $path =~ /\.c$/ && $path !~ $may_call ) {
		( my $code = $text ) =~ s{/\*.*?\*/|"(?:\\.|[^"\\\n])*"}{ my $m = $&; $m =~ s/[^\n]//g; $m }gse;
		while ( $code =~ /(?<![\w.>])(\w+)\s*\(/g ) {
			next unless $forbidden{$1};
			my $line = 1 + ( substr( $code, 0, pos $code ) =~ tr/\n// );
			push @call, "$path:$line: $1() does not come through env, or is never wanted";
		}
	}
	next unless $path =~ /\.c$/ && $room;
	push @long, "$path: " . scalar(@lines) . " lines" if @lines > 600;
	push @{ $lengths{all} }, scalar @lines;
	my $start;
	for my $i ( 0 .. $#lines ) {
		$start = $i if $lines[$i] eq '{';
		if ( $lines[$i] eq '}' && defined $start ) {
			push @{ $functions{all} }, $i - $start - 1;
			push @{ $functions{$room} }, $i - $start - 1;
			undef $start;
		}
	}
	$asserts{$room} += () = $text =~ /\bassert\(/g;
}

sub quantile {
	my ( $part, @v ) = @_;
	return 0 unless @v;
	@v = sort { $a <=> $b } @v;
	return $v[ int( $part * $#v + 0.5 ) ];
}

my @idle = grep { !$used{$_} } map { my $room = $_; map {"$room $_"} @{ $edges{$room} } } sort keys %edges;
ok( !@edge,  'every include follows an allowed edge',             @edge );
ok( !@idle,  'every allowed edge is walked',                       @idle );
ok( !@alien, 'every foreign header stays in its room',            @alien );
ok( !@call,  'the world comes through env',                       @call );
ok( !@mark,  'no mark of unfinished work',                        @mark );
ok( !@long,  'no source file is longer than 600 lines',           @long );
# Folders of data and of Perl modules may be told of by the README above them.
my ( %folders, %programs );
find(
	{   no_chdir => 1,
		wanted   => sub {
			my ($dir) = -f $_ ? m{(.*)/} : () or return;
			$folders{$dir} = 1;
			$programs{$dir} = 1 if /\.([ch]|pl|sh)$/;
		}
	},
	qw(src raft client commerce docs scripts tests)
);

sub told {
	my ($dir) = @_;
	return 1 if -e "$dir/README.md";
	return 0 if $programs{$dir};
	my $name = $dir =~ s{.*/}{}r;
	1 while $dir =~ s{/?[^/]+$}{} && !-e ( $dir eq '' ? 'README.md' : "$dir/README.md" );
	return slurp( $dir eq '' ? 'README.md' : "$dir/README.md" ) =~ /\b\Q$name\E\b/;
}
my @bare = grep { !told($_) } sort keys %folders;
ok( !@bare, 'every folder has a README', map {"$_: no README, and the one above does not tell of it"} @bare );

printf "# functions: %d, median %d lines, p90 %d; files: median %d lines\n", scalar @{ $functions{all} // [] },
	quantile( 0.5, @{ $functions{all} // [] } ), quantile( 0.9, @{ $functions{all} // [] } ),
	quantile( 0.5, @{ $lengths{all} // [] } );
for my $room ( 'raft', 'src/txn', 'src/engine' ) {
	my $n = scalar @{ $functions{$room} // [] } or next;
	printf "# assertions a function in %s: %.2f\n", $room, ( $asserts{$room} // 0 ) / $n;
}
print "1..$count\n";
exit( $failed ? 1 : 0 );
