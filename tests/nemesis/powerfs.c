/* powerfs: a file system that loses what nobody synced when its power is cut.
 *
 *   powerfs MOUNTPOINT STORE
 *
 * It begins empty, keeps its bytes in files without names in STORE's file system, and
 * ends, unmounted and forgotten, when its standard input ends: so with whoever started
 * it, however that ended. Commands come on standard input, a line each; each is answered
 * by a line that begins with "ok" or "no":
 *
 *   cut SEED all|some|scatter   the power fails (volume.h). Everything opened before is gone
 *   delay MS                    each sync takes so much longer, and all else waits for it
 *   fail none|read|write|sync   those calls give EIO; a sync that fails loses bytes for good
 *   fail table                  no table file (*.sst) can be made: the database alone is ill, in its background
 *   fail lie                    syncs say that they did it, and did nothing
 *   figures                     how much was written and synced
 *
 * "ok mounted" is the first line. One thread: what is answered has happened.
 *
 * What a process sees is a plain file system: create, link, rename, unlink, truncate,
 * fallocate (also holes), mmap, flock and fcntl locks (the kernel's own). A new file is
 * durable when its folder was synced, its bytes when it was. sync_file_range is no sync.
 * No symlinks, no attributes, no devices, no renames that exchange. */
#include "tests/nemesis/powerfs.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- commands ---- */

static void command_cut(struct powerfs *fs, uint64_t seed, const char *word)
{
	static const char *const words[] = {
		[CUT_ALL] = "all", [CUT_SOME] = "some", [CUT_SCATTER] = "scatter"};
	struct volume_cut cut;
	for (int mode = CUT_ALL; mode <= CUT_SCATTER; mode++) {
		if (strcmp(word, words[mode]) != 0) {
			continue;
		}
		int status = volume_cut(&fs->volume, seed, (enum volume_mode)mode, &cut);
		if (status != 0) {
			printf("no: %s\n", strerror(-status));
			return;
		}
		printf("ok files=%zu sectors_lost=%zu sectors_kept=%zu sectors_torn=%zu names_lost=%zu "
		       "names_kept=%zu\n",
		       cut.files, cut.sectors_lost, cut.sectors_kept, cut.sectors_torn, cut.names_lost,
		       cut.names_kept);
		return;
	}
	printf("no: cut SEED all|some|scatter\n");
}

static void command_fail(struct powerfs *fs, const char *what)
{
	bool none = strcmp(what, "none") == 0;
	fs->fail_read = strcmp(what, "read") == 0;
	fs->fail_write = strcmp(what, "write") == 0;
	fs->fail_sync = strcmp(what, "sync") == 0;
	fs->fail_table = strcmp(what, "table") == 0;
	fs->lie = strcmp(what, "lie") == 0;
	bool known = none || fs->fail_read || fs->fail_write || fs->fail_sync || fs->fail_table || fs->lie;
	printf(known ? "ok\n" : "no: fail none|read|write|sync|table|lie\n");
}

static void command(struct powerfs *fs, const char *line)
{
	char word[32] = "";
	uint64_t number = 0;
	if (sscanf(line, "cut %" SCNu64 " %31s", &number, word) == 2) {
		command_cut(fs, number, word);
	} else if (sscanf(line, "delay %u", &fs->delay_ms) == 1) {
		printf("ok\n");
	} else if (sscanf(line, "fail %31s", word) == 1) {
		command_fail(fs, word);
	} else if (strcmp(line, "figures") == 0) {
		printf("ok writes=%" PRIu64 " bytes=%" PRIu64 " syncs=%" PRIu64 " folder_syncs=%" PRIu64 "\n",
		       fs->writes, fs->bytes_written, fs->syncs, fs->folder_syncs);
	} else {
		printf("no: unknown command\n");
	}
	fflush(stdout);
}

/* False at the end of standard input. */
static bool hear(struct powerfs *fs)
{
	ssize_t n = read(STDIN_FILENO, fs->line + fs->line_len, sizeof(fs->line) - 1 - fs->line_len);
	if (n <= 0) {
		return n < 0 && errno == EINTR;
	}
	fs->line_len += (size_t)n;
	fs->line[fs->line_len] = '\0';
	char *end;
	while ((end = strchr(fs->line, '\n')) != NULL) {
		*end = '\0';
		command(fs, fs->line);
		fs->line_len -= (size_t)(end + 1 - fs->line);
		memmove(fs->line, end + 1, fs->line_len + 1);
	}
	return fs->line_len < sizeof(fs->line) - 1;
}

/* ---- the loop ---- */

static int serve(struct fuse_session *session, struct powerfs *fs)
{
	struct fuse_buf request = {.mem = NULL};
	struct pollfd ready[2] = {{fuse_session_fd(session), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
	int status = 0;
	while (status == 0 && !fuse_session_exited(session)) {
		if (poll(ready, 2, -1) < 0) {
			if (errno == EINTR) {
				continue;
			}
			status = 1;
		}
		if (ready[0].revents != 0) {
			int len = fuse_session_receive_buf(session, &request);
			if (len > 0) {
				fuse_session_process_buf(session, &request);
			} else if (len != -EINTR && len != -EAGAIN) {
				break; /* unmounted by somebody else */
			}
		}
		if (ready[1].revents != 0 && !hear(fs)) {
			break;
		}
	}
	free(request.mem);
	return status;
}

static void allow_many_files(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: powerfs MOUNTPOINT STORE\n");
		return 2;
	}
	char flag[] = "-o", value[] = "fsname=powerfs,subtype=powerfs";
	char *arguments[] = {argv[0], flag, value, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, arguments);
	struct powerfs fs = {.delay_ms = 0};
	prng_init(&fs.prng, 1);
	allow_many_files();
	setsid(); /* a signal for all that its starter runs must not leave a mount behind; the end of input
		     ends it */
	int status = volume_open(&fs.volume, argv[2]);
	if (status != 0) {
		fprintf(stderr, "powerfs: %s: %s\n", argv[2], strerror(-status));
		return 1;
	}
	struct fuse_session *session = fuse_session_new(&args, &powerfs_calls, sizeof(powerfs_calls), &fs);
	if (session == NULL || fuse_session_mount(session, argv[1]) != 0) {
		fprintf(stderr, "powerfs: cannot mount at %s\n", argv[1]);
		return 1;
	}
	fuse_set_signal_handlers(session);
	printf("ok mounted\n");
	fflush(stdout);
	status = serve(session, &fs);
	fuse_session_unmount(session);
	fuse_remove_signal_handlers(session);
	fuse_session_destroy(session);
	fuse_opt_free_args(&args);
	volume_close(&fs.volume);
	return status;
}
