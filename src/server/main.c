/* tallyd: a node on the production environment. Settings, the process's own
 * affairs (limits, signals, who may look into it), the log on standard error;
 * everything else is node.c. */
#include "env/uv_env.h"
#include "server/config.h"
#include "server/node.h"
#include "server/version.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_START = 1, EXIT_SETTINGS = 2 };

/* A stop that hangs ends after so many seconds. */
#define STOP_LAST_S 5
/* Descriptors beside those of clients: log, database, peers, and what libraries open. */
#define OTHER_FILES 512
#define FEWEST_FILES 128
/* Lanes, alarm, RocksDB's, the resolver's four; these and some in reserve. */
#define FEWEST_THREADS 24

struct daemon {
	struct env *env;
	struct node *node;
	struct log log;
	uint64_t lines_dropped;
	bool stopping;
};

/* ---- the log ---- */

static bool log_is_read(void)
{
	struct pollfd fd = {STDERR_FILENO, POLLOUT, 0};
	return poll(&fd, 1, 0) == 1;
}

/* One line to standard error. A pipe that nobody empties must not stop the node: lines are dropped, and
 * counted. */
static void log_sink(void *owner, enum log_level level, const char *line)
{
	struct daemon *d = owner;
	char out[1280];
	struct timespec now;
	struct tm utc;
	if (!log_is_read()) {
		d->lines_dropped++;
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	size_t at = strftime(out, sizeof out, "%Y-%m-%dT%H:%M:%S", &utc);
	int len = snprintf(out + at, sizeof out - at, ".%03ldZ %s\n", now.tv_nsec / 1000000, line);
	if (d->lines_dropped > 0 && (size_t)len < sizeof out - at - 40) {
		len += snprintf(out + at + len - 1, 40, " dropped=%llu\n",
				(unsigned long long)d->lines_dropped) -
		       1;
		d->lines_dropped = 0;
	}
	if (write(STDERR_FILENO, out, at + (size_t)len) < 0) {
		d->lines_dropped++;
	}
}

/* ---- the process ---- */

static void line(const char *text)
{
	fprintf(stderr, "tallyd: %s\n", text);
}

/* Standard streams that are closed would become the log's files. */
static void keep_standard_streams(void)
{
	struct stat unused;
	for (int fd = 0; fd <= 2; fd++) {
		if (fstat(fd, &unused) != 0 && open("/dev/null", O_RDWR) != fd) {
			_exit(EXIT_START);
		}
	}
}

/* A large block that was freed goes back, under a fixed bound: glibc raises its own with every one that is
 * freed. What a memtable had, in blocks below that bound (store/options), stays for the next one: given back
 * and asked for again, it cost a page fault each 4 KiB, on the thread that applies. */
static void keep_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, (int)MIB(1));
	mallopt(M_TRIM_THRESHOLD, (int)MIB(32));
}

static void harden(const struct node_config *config)
{
	umask(077);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!config->core_dumps) {
		/* A core, or a look into our memory, is customers' data. */
		struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of the write, not our end */
}

/* Room for every client, or fewer clients. As many more as we may have: the database keeps all its files open, one for
 * each half of a memtable of data, and a node whose database cannot make one more ends. False when there is not even
 * room for the node. */
static bool make_room_for_files(struct node_config *config)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
		return true;
	}
	rlim_t wanted = config->max_clients + OTHER_FILES;
	struct rlimit raised = {files.rlim_max, files.rlim_max};
	if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
		files.rlim_cur = files.rlim_max;
	}
	if (files.rlim_cur < FEWEST_FILES) {
		fprintf(stderr, "tallyd: only %llu files may be open (ulimit -n); at least %d are needed\n",
			(unsigned long long)files.rlim_cur, FEWEST_FILES);
		return false;
	}
	if (files.rlim_cur < wanted) {
		rlim_t others = files.rlim_cur / 2 < OTHER_FILES ? files.rlim_cur / 2 : OTHER_FILES;
		config->max_clients = files.rlim_cur - others;
		fprintf(stderr, "tallyd: only %llu files may be open (ulimit -n): %llu clients at most\n",
			(unsigned long long)files.rlim_cur, (unsigned long long)config->max_clients);
	}
	return true;
}

static void *wait_for_others(void *gate)
{
	pthread_mutex_lock(gate);
	pthread_mutex_unlock(gate);
	return NULL;
}

/* The libraries end the process where they cannot make one, at the start or, resolving a name, later: nobody
 * is told what to raise. So as many as are needed are made once, all at a time. */
static bool make_room_for_threads(void)
{
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	pthread_t threads[FEWEST_THREADS];
	int made = 0;
	pthread_mutex_lock(&gate);
	while (made < FEWEST_THREADS && pthread_create(&threads[made], NULL, wait_for_others, &gate) == 0) {
		made++;
	}
	pthread_mutex_unlock(&gate);
	for (int i = 0; i < made; i++) {
		pthread_join(threads[i], NULL);
	}
	if (made < FEWEST_THREADS) {
		fprintf(stderr,
			"tallyd: only %d threads can be made (ulimit -u, TasksMax of systemd, pids.max of a "
			"container); "
			"at least %d are needed\n",
			made, FEWEST_THREADS);
	}
	return made == FEWEST_THREADS;
}

/* An existing data directory must be ours; others are kept out of it. */
static bool close_directory(const char *dir)
{
	struct stat is;
	if (stat(dir, &is) != 0) {
		return true; /* absent: the node makes it; anything else it will tell */
	}
	if (!S_ISDIR(is.st_mode)) {
		fprintf(stderr, "tallyd: %s: is no directory\n", dir);
		return false;
	}
	if (is.st_uid != geteuid()) {
		fprintf(stderr, "tallyd: %s: belongs to user %u, this is user %u\n", dir, (unsigned)is.st_uid,
			(unsigned)geteuid());
		return false;
	}
	if ((is.st_mode & 077) != 0 && chmod(dir, 0700) != 0) {
		fprintf(stderr, "tallyd: %s: others can read it, and that cannot be changed: %s\n", dir,
			strerror(errno));
		return false;
	}
	return true;
}

static uint64_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long long all = 0, resident = 0;
	if (file == NULL) {
		return 0;
	}
	int got = fscanf(file, "%llu %llu", &all, &resident);
	fclose(file);
	return got == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* ---- life ---- */

static void stopped_cb(void *owner)
{
	struct daemon *d = owner;
	uv_env_stop(d->env);
}

/* Closing waits, on the loop, for what runs: lanes and RocksDB on a disk, the resolver at a name. The node's own
 * bound (node.c) is a timer of that loop. */
static void stop_last_cb(int signum)
{
	static const char text[] = "tallyd: the stop hangs: the disk does not answer, or the resolver of names; "
				   "what was acknowledged is in the log\n";
	(void)signum;
	if (log_is_read()) {
		ssize_t said = write(STDERR_FILENO, text, sizeof text - 1);
		(void)said; /* the end is the same */
	}
	_exit(0);
}

static void signal_cb(void *owner, int signum)
{
	struct daemon *d = owner;
	if (signum == SIGHUP) {
		log_event(&d->log, LOG_INFO, "signal", "number=%d ignored=1", signum);
		return;
	}
	log_event(&d->log, LOG_INFO, "signal", "number=%d", signum);
	if (!d->stopping) {
		d->stopping = true;
		signal(SIGALRM, stop_last_cb);
		alarm(STOP_LAST_S);
		node_stop(d->node, stopped_cb, d);
	}
}

/* What the node was given is not to be trusted: a supervisor must not take that for a crash. */
static void lost_cb(void *owner, const char *why)
{
	(void)owner;
	fatal_exit("%s", why);
}

static int run(const struct node_config *config)
{
	struct daemon d = {.log = {config->log_level, config->name, log_sink, NULL}};
	struct err err = {0};
	d.log.owner = &d;
	d.env = uv_env_new(NULL);
	int status = node_open(d.env, config, &d.log, &d.node, &err);
	if (status == 0) {
		node_on_stopped(d.node, lost_cb, &d);
		status = node_start(d.node, &err);
	}
	if (status != 0) {
		line(err.text);
		/* Nothing was promised to anybody; the process's end lets everything go. */
		_exit(EXIT_START);
	}
	uv_env_on_signal(d.env, signal_cb, &d);
	uv_env_run(d.env);
	if (node_stop_timed_out(d.node)) {
		_exit(0); /* a disk hangs; what was acknowledged is on others' */
	}
	node_free(d.node);
	uv_env_free(d.env, NULL, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	struct node_config config;
	enum config_action action = CONFIG_RUN;
	struct err err = {0};
	keep_standard_streams();
	if (config_read(&config, argc, argv, &action, &err) != 0) {
		line(err.text);
		return EXIT_SETTINGS;
	}
	if (action == CONFIG_VERSION) {
		puts("tallyd " VERSION_TALLY);
		return 0;
	}
	if (action == CONFIG_HELP) {
		struct buf help;
		buf_init(&help, KIB(32));
		config_help(&help);
		fwrite(help.data, 1, help.len, stdout);
		buf_fini(&help);
		return 0;
	}
	harden(&config);
	keep_memory();
	if (!make_room_for_files(&config) || !make_room_for_threads() || !close_directory(config.dir)) {
		return EXIT_START;
	}
	config.process_id = (uint64_t)getpid();
	config.resident_bytes = resident_bytes;
	return run(&config);
}
