package Faults::Disk;

# Real file systems that have had enough: each node's data lies on a small ext4 of its own,
# on a loop device. It fills up, turns read-only, is slow, or its block device fails.
use strict;
use warnings;
use World;
use Network;
use Nodes;
use Registry;

use constant DISK_MIB => 160;

my ( %at, %device, %error_file );

sub needs_loop {
	return 'root is needed' if $> != 0;
	return 'this machine has no loop devices' unless -e '/dev/loop-control' && quiet( 'losetup', '-f' );
	return quiet(qw(mkfs.ext4 -V)) ? undef : 'mkfs.ext4 is missing';
}

sub needs_nbd {
	for my $program (qw(nbdkit nbdfuse)) { return "$program is missing" unless quiet( $program, '--version' ) }
	return needs_loop();
}

sub loop_of { my ($image) = @_; return capture( 5, 'losetup', '-j', $image ) =~ m{^(/dev/loop\d+):}m ? $1 : undef }

# Mounts below it come and go in the namespaces of those that started meanwhile as they do here.
sub make_folder {
	my $disks = "$world{dir}/disks";
	mkdir $disks or die "nemesis: $disks: $!\n";
	undo( "mount $disks", sub { quiet( 'umount', '-l', $disks ) } );
	must( 'mount', '--bind', $disks, $disks );
	must( 'mount', '--make-private', $disks );
	must( 'mount', '--make-shared', $disks );
	return $disks;
}

# An ext4 on a loop device over a file; node i's data will lie there. Small files, so that a full disk is met often.
sub make_disk {
	my ( $i, $image ) = @_;
	$at{$i} = "$world{dir}/disks/n$i";
	mkdir $at{$i} or die "nemesis: $at{$i}: $!\n";
	# Once nbdfuse has ended, nothing but its number tells which loop device was on it.
	my $loop;
	undo( "loop device of $image", sub { $loop //= loop_of($image); quiet( 'losetup', '-d', $loop ) if $loop } );
	must( 'losetup', '-f', $image );
	$loop = loop_of($image) // die "nemesis: no loop device for $image\n";
	$device{$i} = $loop;
	must( qw(mkfs.ext4 -q -m 0), $device{$i} );
	undo( "mount $at{$i}", sub { quiet( 'umount', $at{$i} ) or quiet( 'umount', '-l', $at{$i} ) } );
	must( 'mount', $device{$i}, $at{$i} );
	node_dir( $i, "$at{$i}/data" );
	node_option( $i, qw(--segment 4MiB --keep 12MiB --flush-bytes 512KiB --memtable 1MiB --space-reserve 24MiB) );
	return;
}

sub loop_disks {
	return if $world{loop_disks}++;
	my $disks = make_folder();
	for my $i ( 1 .. $world{nodes} ) {
		must( 'truncate', '-s', DISK_MIB . 'M', "$disks/$i.img" );
		make_disk( $i, "$disks/$i.img" );
	}
	return;
}

# The same on a block device (nbdkit behind nbdfuse) whose writes fail while a certain file exists.
sub nbd_disks {
	my $disks = make_folder();
	for my $i ( 1 .. $world{nodes} ) {
		my ( $image, $block ) = ( "$disks/$i.img", "$disks/$i.block" );
		$error_file{$i} = "$disks/$i.error";
		must( 'truncate', '-s', DISK_MIB . 'M', $image );
		must( 'touch', $block );
		undo( "mount $block", sub { quiet( 'umount', '-l', $block ) } );
		spawn( "nbdfuse $i", {}, 'nbdfuse', $block, '[', qw(nbdkit --exit-with-parent --filter=error file), $image,
			'error=EIO', 'error-pwrite-rate=100%', "error-file=$error_file{$i}", ']' );
		my $until = now_us() + 20e6;
		until ( ( -s $block // 0 ) == DISK_MIB * 1024 * 1024 ) {
			die "nemesis: nbdfuse does not show $block\n" if now_us() > $until;
			wait_for(0.05);
		}
		make_disk( $i, $block );
	}
	return;
}

# After the disk failed: the node must have stopped, with a line that names what failed. Then the disk is
# checked as an operator does it, and the node starts on it.
sub recover_node {
	my ( $event, $what ) = @_;
	my $i = $event->{node} or return;
	failure("$what: node $i lived on") unless gone_within( $i, 10 );
	my ($last) = reverse grep { !/^\d{4}-/ } split /^/, slurp( node_log($i) );
	say_line( "n$i says: ", ( $last // 'nothing' ) =~ s/\n//r );
	failure("$what: node $i does not name a file of $at{$i}") unless ( $last // '' ) =~ m{\Q$at{$i}\E/data/};
	kill_node($i);
	delete $event->{error} and unlink $error_file{$i};
	must( 'umount', $at{$i} );
	# Whoever enters a namespace at this moment may hold the old file system for as long, and a mount would get that one.
	my $until = now_us() + 10e6;
	my $alive = $device{$i} =~ s{^/dev/}{/sys/fs/ext4/}r;
	wait_for(0.02) while -d $alive && now_us() < $until;
	failure("$what: the file system of node $i is still mounted somewhere") if -d $alive;
	quiet( qw(e2fsck -p -f), $device{$i} ) or say_line("e2fsck of n$i mended something");
	must( 'mount', $device{$i}, $at{$i} );
	start_node($i);
	return;
}

fault name => 'full', text => 'the disk of a node, most often the leader, has no space; then it has again',
	needs   => \&needs_loop,
	prepare => \&loop_disks,
	hold    => [ 3, 7 ],
	begin   => sub {
		my ($event) = @_;
		my $i = $event->{node} = victim() or return;
		my ($free) = capture( 5, qw(df -P -k), $at{$i} ) =~ /\s(\d+)\s+\d+%/;
		my $left = ( 0, 0, 12_000 )[ int rand 3 ];
		quiet( 'fallocate', '-l', ( $free - $left ) . 'K', "$at{$i}/balloon" ) if $free > $left;
		# What ext4 keeps back for its own tables goes as well.
		quiet( 'dd', 'if=/dev/zero', "of=$at{$i}/balloon2", 'bs=64K' ) if !$left;
		strike( $event, "n$i " . ( $left ? 'below its reserve' : 'to the last byte' ) );
	},
	end => sub {
		my ($event) = @_;
		my $at = $event->{node} ? $at{ $event->{node} } : return;
		unlink "$at/balloon", "$at/balloon2";
		must( 'sync', '-f', $at ); # what the journal does not have comes back when the file system is torn away next
	};

fault name => 'readonly', text => 'the file system of a node turns read-only: it stops, and starts when the disk was mended',
	needs   => \&needs_loop,
	prepare => \&loop_disks,
	hold    => [ 1, 3 ],
	begin   => sub {
		my ($event) = @_;
		my $i = $event->{node} = victim() or return;
		expect_stop($i);
		must( 'mount', '-o', 'remount,abort', $at{$i} );
		strike( $event, "n$i" );
	},
	end => sub { recover_node( $_[0], 'readonly' ) };

fault name => 'badblock', text => 'the block device of a node fails its writes: it stops, and starts when the disk was mended',
	needs   => \&needs_nbd,
	prepare => \&nbd_disks,
	hold    => [ 1, 3 ],
	begin   => sub {
		my ($event) = @_;
		my $i = $event->{node} = victim() or return;
		expect_stop($i);
		$event->{error} = 1;
		must( 'touch', $error_file{$i} );
		strike( $event, "n$i" );
	},
	end => sub { recover_node( $_[0], 'badblock' ) };

# ---- a slow disk, by the kernel's throttle (cgroup v1) ----

use constant BLKIO => '/sys/fs/cgroup/blkio';

sub throttle { my ($i) = @_; return BLKIO . "/tally-$$-n$i" }

sub throttle_disks {
	loop_disks();
	node_group( $_, throttle($_) ) for 1 .. $world{nodes};
	return;
}

sub number_of { my ($i) = @_; return capture( 5, 'lsblk', '-dno', 'MAJ:MIN', $device{$i} ) =~ /(\d+:\d+)/ ? $1 : '' }

# How much of what the node's processes wrote went through the throttle of its device.
sub written {
	my ($i) = @_;
	my $number = number_of($i);
	return slurp( throttle($i) . '/blkio.throttle.io_service_bytes' ) =~ /^\Q$number\E Write (\d+)/m ? $1 : 0;
}

sub set_limit {
	my ( $i, $bytes ) = @_;
	my $number = number_of($i);
	open my $out, '>', throttle($i) . '/blkio.throttle.write_bps_device' or die "nemesis: throttle: $!\n";
	print $out "$number $bytes\n";
	close $out or die "nemesis: throttle: $!\n";
	return;
}

fault name => 'slowblock', text => 'the disk of a node writes 256 KiB/s (cgroup v1)',
	needs => sub { return -w BLKIO . '/blkio.throttle.write_bps_device' ? needs_loop() : 'no blkio controller of cgroup v1' },
	prepare => \&throttle_disks,
	hold    => [ 3, 6 ],
	begin   => sub {
		my ($event) = @_;
		my $i = $event->{node} = victim() or return;
		$event->{before} = written($i);
		set_limit( $i, 262_144 );
		strike( $event, "n$i" );
	},
	end => sub {
		my ($event) = @_;
		my $i = $event->{node} or return;
		my $kib = ( written($i) - $event->{before} ) / 1024;
		set_limit( $i, 0 );
		say_line( sprintf '       slowblock: %.0f KiB written', $kib );
		unstrike($event) unless $kib;
	};

1;
