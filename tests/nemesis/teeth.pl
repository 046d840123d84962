#!/usr/bin/perl
# A run of the nemesis that must fail: nodes end unasked, a sanitizer speaks, a
# fault does nothing. Each has to be told.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;

my $src = $ENV{TALLY_SRC} // '.';
my $dir = tempdir( CLEANUP => 1, DIR => $ENV{TMPDIR} // '/var/tmp' );
mkdir "$dir/faults" or die "$!\n";
open my $out, '>', "$dir/faults/Teeth.pm" or die "$!\n";
print $out <<'KINDS';
package Teeth;
use World; use Nodes; use Registry;
sub sneak { my ( $name, $code ) = @_;
	fault name => $name, text => 'nobody ordered it', hold => [ 0.5, 0.5 ],
		begin => sub { my ($event) = @_; $event->{node} = some_node(); strike($event); $code->( $event->{node} ) },
		end => sub { my ($event) = @_; start_node( $event->{node} ) } }
sneak crash  => sub { signal_node( $_[0], 'SEGV' ) };
sneak leave  => sub { signal_node( $_[0], 'TERM' ) };
sneak mutter => sub { open my $log, '>>', node_log( $_[0] ); print $log "==1==ERROR: AddressSanitizer: heap-use-after-free\n" };
fault name => 'idle', text => 'does nothing', begin => sub { };
1;
KINDS
close $out;

my $text = `NEMESIS_FAULTS='$dir/faults' '$src/tests/nemesis/nemesis' run --faults crash,leave,mutter,idle --nodes 3 --time 16 --seed 3 --dir '$dir/run' 2>&1`;
my $status = $? >> 8;
plan skip_all => ( split /\n/, $text )[-1] =~ s{^skipped: }{}r if $status == 77;
note $text;
is $status, 1, 'the run fails';
like $text, qr/FAILED: node \d ended and nobody ordered it: signal 11/, 'a node that crashed, with its signal';
like $text, qr/FAILED: node \d ended and nobody ordered it: exit status 0/, 'a node that left quietly, with its status';
like $text, qr/FAILED: node \d says: .*AddressSanitizer/,                'a report of a sanitizer';
like $text, qr/FAILED: idle was asked for and never struck/,             'a fault that did not happen';
unlike $text, qr/FAILED: (?!node \d|idle)/, 'and nothing else';
SKIP: {
	open my $in, '<', '/proc/sys/kernel/core_pattern' or skip 'no pattern of cores to be read', 1;
	skip 'cores do not lie where the process ran', 1 if readline($in) !~ m{^(?!/|\|)};
	like $text, qr/FAILED: node \d left a core/, 'a core';
}
done_testing;
