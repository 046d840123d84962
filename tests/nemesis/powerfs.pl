#!/usr/bin/perl
# powerfs alone: what was synced is there after a power cut, what was not may be gone, and
# torn; a sync of a file does not keep its name; who had it open holds nothing any more.
use strict;
use warnings;
use Fcntl qw(:DEFAULT :flock :seek);
use File::Temp qw(tempdir);
use IO::Handle;
use POSIX ();

my $powerfs = ( $ENV{TALLY_BUILD} // 'build' ) . '/powerfs';
my $why     = !-x $powerfs ? 'powerfs is not built (libfuse3-dev)' : !-w '/dev/fuse' ? 'no /dev/fuse that this user may open' : undef;
if ($why) {
	print "1..1\nok 1 # SKIP $why\n";
	exit 0;
}

my ( $count, $failed ) = ( 0, 0 );
sub ok {
	my ( $cond, $text ) = @_;
	$count++;
	$failed++ unless $cond;
	print $cond ? '' : 'not ', "ok $count - $text\n";
	return $cond;
}

my $dir = tempdir( 'tally-powerfs-XXXXXX', DIR => $ENV{TMPDIR} // '/var/tmp', CLEANUP => 1 );
my $at  = "$dir/mnt";
my $pid;
mkdir $at and mkdir "$dir/store";

sub mount {
	pipe my $in,  my $to   or die "pipe: $!";
	pipe my $from, my $out or die "pipe: $!";
	$pid = fork // die "fork: $!";
	if ( !$pid ) {
		open STDIN,  '<&', $in;
		open STDOUT, '>&', $out;
		exec $powerfs, $at, "$dir/store" or POSIX::_exit(127);
	}
	close $in;
	close $out;
	$to->autoflush(1);
	return ( $to, $from );
}
my ( $to, $from ) = mount();
my $mounted = <$from> // '';
if ( $mounted !~ /^ok/ ) {
	print "1..1\nok 1 # SKIP this machine does not let us mount with FUSE\n";
	exit 0;
}
END { local $?; kill 'TERM', $pid if $pid }

sub ask { my ($line) = @_; print $to "$line\n"; return scalar(<$from>) // 'nothing' }

sub slurp {
	my ($path) = @_;
	open my $in, '<:raw', $path or return "no file: $!";
	local $/;
	return <$in> // '';
}

sub put {
	my ( $path, $bytes, %how ) = @_;
	sysopen my $file, $path, O_RDWR | O_CREAT or die "$path: $!";
	sysseek $file, $how{at} // 0, SEEK_SET;
	syswrite $file, $bytes;
	$file->sync if $how{sync};
	syscall( 75, fileno $file ) if $how{datasync};
	return $file;
}

sub sync_folder {
	my ($path) = @_;
	sysopen my $folder, $path, O_RDONLY | O_DIRECTORY or die "$path: $!";
	return syscall( 74, fileno $folder ) == 0;
}
sub names { my ($path) = @_; opendir my $list, $path or die "$path: $!"; return join ' ', sort grep { !/^\.\.?$/ } readdir $list }

# A program that never syncs loses everything; who reads before the cut sees it.
mkdir "$at/d";
put( "$at/d/file", 'unsynced' );
ok( slurp("$at/d/file") eq 'unsynced', 'before a cut a reader sees the newest bytes' );
my $answer = ask('cut 1 all');
ok( $answer =~ /^ok files=1 .*names_lost=2/, 'the cut tells what it lost' ) or print "# $answer";
ok( names($at) eq '', 'what nobody synced is gone, with its folder' );

# Each of the three syncs that a new file needs.
mkdir "$at/d";
sync_folder($at);
put( "$at/d/kept",    'bytes', sync => 1 );
put( "$at/d/empty",   'bytes' );
sync_folder("$at/d");
put( "$at/d/nameless", 'bytes', sync => 1 );
ask('cut 2 all');
ok( names("$at/d") eq 'empty kept', 'a sync of the folder keeps names; a sync of the file does not keep its name' );
ok( slurp("$at/d/kept") eq 'bytes', 'synced bytes under a synced name are there' );
ok( slurp("$at/d/empty") eq '', 'bytes that were not synced are not' );

# Appending, overwriting, both kinds of sync.
put( "$at/d/kept", 'BYTES+more', datasync => 1 );
put( "$at/d/kept", 'later',      at       => 10 );
ask('cut 3 all');
ok( slurp("$at/d/kept") eq 'BYTES+more', 'fdatasync carries the bytes and the size they need, and not what comes later' );
put( "$at/d/kept", 'x' x 3000, sync => 1 );
my $file = put( "$at/d/kept", '' );
truncate $file, 100;
syscall( 75, fileno $file );
ask('cut 4 all');
ok( -s "$at/d/kept" == 3000, 'a truncation that only fdatasync followed may be undone' );
$file = put( "$at/d/kept", '' );
truncate $file, 100;
$file->sync;
ask('cut 5 all');
ok( slurp("$at/d/kept") eq 'x' x 100, 'fsync carries a truncation' );

# Names: renames, links, unlinks.
put( "$at/d/new", 'new bytes', sync => 1 );
rename "$at/d/new", "$at/d/kept";
ok( slurp("$at/d/kept") eq 'new bytes', 'a rename shows at once' );
ask('cut 6 all');
ok( slurp("$at/d/kept") eq 'x' x 100 && names("$at/d") eq 'empty kept', 'a rename without a sync of the folder is lost, and its target is as before' );
put( "$at/d/new", 'new bytes', sync => 1 );
rename "$at/d/new", "$at/d/kept";
unlink "$at/d/empty";
link "$at/d/kept", "$at/d/other";
sync_folder("$at/d");
ask('cut 7 all');
ok( slurp("$at/d/kept") eq 'new bytes' && names("$at/d") eq 'kept other', 'with it rename, unlink and link stay' );
ok( ( stat "$at/d/kept" )[3] == 2, 'two names of one file count two links' );
unlink "$at/d/kept", "$at/d/other";
ask('cut 8 all');
ok( slurp("$at/d/kept") eq 'new bytes', 'an unlink without a sync of the folder is undone' );

# A rename between two folders is one change: syncing one of them cannot keep half of it.
mkdir "$at/e";
sync_folder($at);
rename "$at/d/kept", "$at/e/moved";
sync_folder("$at/e");
ask('cut 9 all');
ok( names("$at/d") eq 'other' && names("$at/e") eq 'moved', 'a rename between folders is kept as a whole' );

# What was open is gone; a lock too.
$file = put( "$at/d/other", '' );
ok( flock( $file, LOCK_EX | LOCK_NB ), 'a file can be locked' );
open my $second, '<', "$at/d/other";
ok( !flock( $second, LOCK_EX | LOCK_NB ), 'and is locked for a second open' );
close $second;
ask('cut 10 all');
ok( !defined syswrite( $file, 'late' ), 'what was open before the cut writes nothing any more' );
close $file;
ok( slurp("$at/d/other") eq 'new bytes', 'and the file is well' );

# Zeroed ahead and written in the middle, as the log does it.
put( "$at/d/log", "\0" x 65536, sync => 1 );
sync_folder("$at/d");
put( "$at/d/log", 'A' x 4096, at => 8192, datasync => 1 );
my ( $torn, $kept, $lost, $bad ) = (0) x 4;
for my $seed ( 100 .. 139 ) {
	put( "$at/d/log", 'B' x 4096, at => 12288 );
	$answer = ask("cut $seed some");
	my $bytes = slurp("$at/d/log");
	$bad++ if length $bytes != 65536 || substr( $bytes, 0, 12288 ) ne "\0" x 8192 . 'A' x 4096 || substr( $bytes, 16384 ) =~ /[^\0]/;
	for my $i ( 0 .. 7 ) {
		my $sector = substr $bytes, 12288 + $i * 512, 512;
		$sector eq 'B' x 512 ? $kept++ : $sector eq "\0" x 512 ? $lost++ : $torn++;
	}
	put( "$at/d/log", "\0" x 4096, at => 12288, sync => 1 );
}
ok( $bad == 0, 'whatever is lost or torn, what had been synced before is whole' );
my ( $harmed, $changed ) = ( 0, 0 );
for my $seed ( 300 .. 339 ) {
	put( "$at/d/log", 'S' x 300 . "\0" x 212, at => 40960, sync => 1 );
	put( "$at/d/log", 'B' x 212, at => 41260 );
	ask("cut $seed some");
	my $sector = substr slurp("$at/d/log"), 40960, 512;
	$harmed++ if substr( $sector, 0, 300 ) ne 'S' x 300;
	$changed++ if substr( $sector, 300 ) ne "\0" x 212;
}
ok( $harmed == 0 && $changed > 0, "also where a torn sector holds bytes that had been synced (changed $changed times)" );
put( "$at/d/log", "\0" x 512, at => 40960, sync => 1 );
ok( $torn && $kept && $lost, "of unsynced sectors some are kept, some lost, some torn ($kept, $lost, $torn)" );

# The same seed draws the same.
my @seen;
for ( 1, 2 ) {
	put( "$at/d/log", 'C' x 8192, at => 20000 );
	ask('cut 77 some');
	push @seen, slurp("$at/d/log");
	put( "$at/d/log", "\0" x 8192, at => 20000, sync => 1 );
}
ok( $seen[0] eq $seen[1], 'the same seed loses the same' );

# Names are lost from the newest on, as a journal does; scattered, each by itself.
my ( $journal, $holes ) = ( 1, 0 );
for my $seed ( 200 .. 219 ) {
	for my $mode (qw(some scatter)) {
		mkdir "$at/n";
		sync_folder($at);
		put( "$at/n/$_", '' ) for 1 .. 5;
		ask("cut $seed $mode");
		my $left = names("$at/n");
		my $in_order = index( '1 2 3 4 5', $left ) == 0;
		$journal = 0 if $mode eq 'some' && !$in_order;
		$holes++ if $mode eq 'scatter' && !$in_order;
		unlink glob "$at/n/*";
		sync_folder("$at/n");
	}
}
ok( $journal, 'of new names the newest are lost' );
ok( $holes > 0, 'scattered, older ones too' );

# A sync that fails keeps its promise to nobody.
put( "$at/d/bad", 'a' x 4096, sync => 1 );
sync_folder("$at/d");
ask('fail sync');
$file = put( "$at/d/bad", 'b' x 4096 );
ok( !$file->sync, 'a sync can fail' );
ask('fail none');
ok( $file->sync && slurp("$at/d/bad") eq 'b' x 4096, 'the next one succeeds, and readers see the new bytes' );
my $lied = 0;
for my $seed ( 1 .. 8 ) {
	put( "$at/d/bad", 'a' x 4096, sync => 1 );
	ask('fail sync');
	$file = put( "$at/d/bad", 'b' x 4096 );
	$file->sync;
	ask('fail none');
	$file->sync;
	ask("cut $seed all");
	$lied++ if slurp("$at/d/bad") ne 'b' x 4096;
}
ok( $lied > 0, 'but they were not all on the disk' );
ask('fail lie');
ok( put( "$at/d/bad", 'c' x 4096 )->sync, 'a disk can lie' );
ask('cut 1 all');
ok( slurp("$at/d/bad") ne 'c' x 4096, 'and has kept nothing' );
ask('fail write');
ok( !defined syswrite( put( "$at/d/other", '' ), 'x' ), 'a write can fail' );
ask('fail table');
my $made = open my $table, '>', "$at/d/000007.sst";
ok( !$made && defined put( "$at/d/000007.log", 'x' ), 'table files alone can fail' );
ask('fail none');

# Fallocate, holes, a mapped file, statfs, a big listing.
ok( system( 'fallocate', '-n', '-l', '1M', "$at/d/log" ) == 0 && -s "$at/d/log" == 65536, 'fallocate that keeps the size' );
ok( system( 'fallocate', '-p', '-o', '8192', '-l', '4096', "$at/d/log" ) == 0 && substr( slurp("$at/d/log"), 8192, 4096 ) eq "\0" x 4096, 'a hole is zeroes' );
ok( `df -P $at` =~ /^powerfs +[1-9]/m, 'statfs tells what space the store has' );
mkdir "$at/many";
put( "$at/many/$_", '' ) for 1 .. 1000;
ok( names("$at/many") eq join( ' ', sort 1 .. 1000 ), 'a thousand names are listed' );

# The end of its input is its end.
undef $file;
close $to;
waitpid $pid, 0;
ok( $? == 0, 'it ends with its input' );
undef $pid;
ok( names($at) eq '' && names("$dir/store") eq '', 'unmounted, and nothing is left in its store' );
print "1..$count\n";
exit( $failed ? 1 : 0 );
