#!/usr/bin/env perl
# One node on a disk that is too small, whose reserve is smaller than what the database writes at once:
# the log still finds room, the database does not. In the end the disk is taken away under it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Cluster;
use Test::More;

my $UNSHARE = 'unshare -m sh -c';
if (system("$UNSHARE 'mount -t tmpfs none /mnt' 2>/dev/null") != 0) {
	plan skip_all => 'this test needs the right to mount a tmpfs';
}

# The node moves into its own namespace and mounts its disk there; nothing of it is left when it ends.
my $c = Cluster->new(nodes => 1);
my $address = "127.0.0.1:$c->{client_port}{1}";
$c->{pid}{1} = Cluster::spawn($c->logfile(1), qw(unshare -m sh -c), 'mount -t tmpfs -o size=56m none "$0" && exec "$@"', $c->{dir},
	Cluster::binary(), qw(--id 1 --space-reserve 1MiB --segment 16MiB --memory 64MiB --listen), $address, '--dir', $c->dir(1),
	'--peer-listen', "127.0.0.1:$c->{peer_port}{1}");
$c->leader;
my $value = join '', map { chr(33 + int rand 90) } 1 .. 500_000;
my ($said, $written) = ('OK', 0);
for (1 .. 150) {
	$said = $c->client(1, timeout => 30)->cmd('SET', "k$_", $value);
	last if $said ne 'OK';
	$written = $_;
}
ok($written > 10, "writes are taken while there is space ($written)");
like($said, qr/^-NO_SPACE \{"outcome":"retry"/, 'then they are refused for want of space');
is($c->client(1)->cmd('GET', 'k1'), $value, 'reads go on');
is(scalar(() = Cluster::read_from($c->logfile(1), 0) =~ /apply_waits/g), 1, 'the log says once that the database waits');
is(system('nsenter', '-t', $c->pid(1), '-m', '-r', 'mount', '-o', 'remount,size=300m', $c->{dir}), 0, 'the disk grows');
ok(Cluster::wait_for(sub { $c->client(1)->cmd('SET', 'back', 'v') eq 'OK' }), 'and writes are taken again');
is($c->client(1)->cmd('GET', "k$written"), $value, 'what was acknowledged last is there');
is(system('nsenter', '-t', $c->pid(1), '-m', '-r', 'umount', '-l', $c->{dir}), 0, 'the disk is taken away');
my $ended = Cluster::wait_for(sub {
	eval { $c->client(1, timeout => 5)->cmd('SET', 'gone', $value) };
	return $c->reap(1);
});
like(Cluster::read_from($c->logfile(1), 0), qr/^fatal: \Q@{[$c->dir(1)]}\E is gone: it was removed, or its disk unmounted, while the node ran; mount it /m,
	'the node ends, and says that its directory is gone');
is($ended && $c->{status}{1} >> 8, 1, 'with status 1');
done_testing;
