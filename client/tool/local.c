#include "client/tool/local.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Nodes that elect nobody for so long are broken. */
#define START_MS 30000
#define STOP_MS 10000
#define FLAGS_MAX 32

/* ---- where ---- */

static int local_make_dir(struct local *local)
{
	if (local->options.dir != NULL) {
		snprintf(local->dir, sizeof(local->dir), "%s", local->options.dir);
		if (mkdir(local->dir, 0700) == 0) {
			local->dir_is_ours = true;
		} else if (errno != EEXIST) {
			return tool_fail(local->tool, TOOL_FAILED, "cannot make %s: %s", local->dir,
					 strerror(errno));
		}
	} else {
		const char *base = getenv("TMPDIR");
		bool memory = true;
		if (base != NULL) {
			local_file_system(base, &memory);
		}
		/* /tmp is often a memory file system, which would make every figure a lie. */
		snprintf(local->dir, sizeof(local->dir), "%s/tally-XXXXXX", memory ? "/var/tmp" : base);
		if (mkdtemp(local->dir) == NULL) {
			return tool_fail(local->tool, TOOL_FAILED, "cannot make a directory like %s: %s",
					 local->dir, strerror(errno));
		}
		local->dir_is_ours = true;
	}
	bool memory;
	const char *name = local_file_system(local->dir, &memory);
	if (memory && !local->options.unsafe) {
		return tool_fail(local->tool, TOOL_USAGE,
				 "%s is on %s, which is no disk; name another --dir, or --unsafe", local->dir,
				 name);
	}
	return 0;
}

/* Beside this program, as in a build tree and when installed. */
static int local_find_tallyd(struct local *local)
{
	const char *given = getenv("TALLYD");
	if (given != NULL) {
		snprintf(local->tallyd, sizeof(local->tallyd), "%s", given);
	} else {
		ssize_t len = readlink("/proc/self/exe", local->tallyd, sizeof(local->tallyd) - 16);
		local->tallyd[len > 0 ? len : 0] = '\0';
		char *slash = strrchr(local->tallyd, '/');
		strncpy(slash != NULL ? slash + 1 : local->tallyd, "tallyd", 7);
	}
	if (access(local->tallyd, X_OK) != 0) {
		return tool_fail(local->tool, TOOL_FAILED,
				 "there is no server program %s; name it in $TALLYD", local->tallyd);
	}
	return 0;
}

/* Free ports, held until all are chosen so that none is chosen twice. */
static int local_choose_ports(struct local *local)
{
	int fds[2 * LOCAL_MAX];
	size_t opened = 0;
	bool fine = true;
	for (; opened < 2 * local->count && fine; opened++) {
		struct sockaddr_in address = {.sin_family = AF_INET,
					      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		socklen_t len = sizeof(address);
		fds[opened] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		fine = fds[opened] >= 0 && bind(fds[opened], (struct sockaddr *)&address, len) == 0 &&
		       getsockname(fds[opened], (struct sockaddr *)&address, &len) == 0;
		struct local_node *node = &local->nodes[opened / 2];
		snprintf(opened % 2 == 0 ? node->client : node->peer, sizeof(node->client), "127.0.0.1:%u",
			 ntohs(address.sin_port));
	}
	for (size_t i = 0; i < opened; i++) {
		close(fds[i]);
	}
	return fine ? 0 : tool_fail(local->tool, TOOL_FAILED, "no free ports: %s", strerror(errno));
}

/* ---- processes ---- */

struct words {
	char *argv[FLAGS_MAX + 2 * LOCAL_MAX + 16];
	size_t count;
	char room[8192];
	size_t used;
};

static void words_add(struct words *words, const char *flag, const char *value)
{
	size_t left = sizeof(words->room) - words->used;
	int len = snprintf(words->room + words->used, left, "%s%s%s", flag, value != NULL ? "=" : "",
			   value != NULL ? value : "");
	if (len < 0 || (size_t)len >= left ||
	    words->count + 1 >= sizeof(words->argv) / sizeof(words->argv[0])) {
		return;
	}
	words->argv[words->count++] = words->room + words->used;
	words->argv[words->count] = NULL;
	words->used += (size_t)len + 1;
}

static void local_words(const struct local *local, size_t at, struct words *words)
{
	char text[256];
	const struct local_node *node = &local->nodes[at];
	*words = (struct words){.count = 0};
	words_add(words, local->tallyd, NULL);
	snprintf(text, sizeof(text), "%zu", at + 1);
	words_add(words, "--id", text);
	snprintf(text, sizeof(text), "%.200s/n%zu", local->dir, at + 1);
	words_add(words, "--dir", text);
	words_add(words, "--listen", node->client);
	words_add(words, "--peer-listen", node->peer);
	for (size_t i = 0; i < local->count; i++) {
		snprintf(text, sizeof(text), "%zu=%s,%s", i + 1, local->nodes[i].peer,
			 local->nodes[i].client);
		words_add(words, "--member", text);
	}
	const char *rest = local->options.flags != NULL ? local->options.flags : "";
	while (*rest != '\0') {
		size_t len = strcspn(rest, " ");
		snprintf(text, sizeof(text), "%.*s", (int)len, rest);
		if (len > 0) {
			words_add(words, text, NULL);
		}
		rest += len + (rest[len] == ' ');
	}
}

void local_kill(struct local *local, size_t at)
{
	if (local->nodes[at].pid > 0) {
		kill(local->nodes[at].pid, SIGKILL);
		local->nodes[at].killed = true;
	}
}

void local_term(struct local *local, size_t at)
{
	if (local->nodes[at].pid > 0) {
		kill(local->nodes[at].pid, SIGTERM);
		local->nodes[at].killed = true;
	}
}

bool local_ended(struct local *local, size_t at)
{
	struct local_node *node = &local->nodes[at];
	if (node->pid > 0 && node->killed && waitpid(node->pid, NULL, WNOHANG) == node->pid) {
		node->pid = 0;
		node->killed = false;
	}
	return node->pid == 0;
}

/* A killed process takes a while to give its memory back; only who needs it gone waits. */
void local_reap(struct local *local, size_t at)
{
	if (local->nodes[at].killed) {
		waitpid(local->nodes[at].pid, NULL, 0);
		local->nodes[at].pid = 0;
		local->nodes[at].killed = false;
	}
}

int local_revive(struct local *local, size_t at)
{
	local_reap(local, at);
	struct words words;
	char log[600];
	local_words(local, at, &words);
	snprintf(log, sizeof(log), "%s/n%zu.log", local->dir, at + 1);
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0) {
		return tool_fail(local->tool, TOOL_FAILED, "cannot start a process: %s", strerror(errno));
	}
	if (pid == 0) {
		int fd = open(log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (!local->options.keep) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			if (getppid() != parent) {
				_exit(127);
			}
		}
		/* Ctrl-C is the tool's to handle: it stops its nodes in order. They stay in its session, for
		 * Linux gives each session an equal share of the cores: a compaction of one node, however low
		 * its priority, would take the core from another node's loop. */
		setpgid(0, 0);
		dup2(null, 0);
		dup2(fd, 1);
		dup2(fd, 2);
		execv(local->tallyd, words.argv);
		dprintf(2, "cannot run %s: %s\n", local->tallyd, strerror(errno));
		_exit(127);
	}
	local->nodes[at].pid = pid;
	return 0;
}

static void local_show_log(const struct local *local, size_t at)
{
	char path[600];
	char line[1024];
	char last[3][1024] = {"", "", ""};
	snprintf(path, sizeof(path), "%s/n%zu.log", local->dir, at + 1);
	FILE *log = fopen(path, "re");
	for (size_t i = 0; log != NULL && fgets(line, sizeof(line), log) != NULL; i++) {
		memcpy(last[i % 3], line, sizeof(line));
	}
	if (log != NULL) {
		fclose(log);
	}
	fprintf(stderr, "%s%s%s", last[0], last[1], last[2]);
}

bool local_died(struct local *local)
{
	bool died = false;
	for (size_t i = 0; i < local->count; i++) {
		int status;
		pid_t pid = local->nodes[i].pid;
		if (pid > 0 && !local->nodes[i].killed && waitpid(pid, &status, WNOHANG) == pid) {
			local->nodes[i].pid = 0;
			tool_fail(local->tool, 0,
				  "node n%zu ended by itself (%s %d); its log ends with:", i + 1,
				  WIFSIGNALED(status) ? "signal" : "status",
				  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
			local_show_log(local, i);
			died = true;
		}
	}
	return died;
}

void local_pause(struct local *local, size_t at, bool pause)
{
	if (local->nodes[at].pid > 0) {
		kill(local->nodes[at].pid, pause ? SIGSTOP : SIGCONT);
	}
}

size_t local_find(const struct local *local, const char *address)
{
	size_t at = 0;
	while (at < local->count && strcmp(local->nodes[at].client, address) != 0) {
		at++;
	}
	return at;
}

/* ---- start and stop ---- */

static int local_wait(struct local *local)
{
	static const char *const words[] = {"TALLY", "STATUS"};
	struct tally_options options = {.servers = local->servers};
	struct tally_sync *sync = tally_sync_open(&options, NULL, 0);
	int code = TOOL_FAILED;
	for (unsigned waited = 0; waited < START_MS && code != 0 && sync != NULL; waited += 500) {
		const struct tally_call *call =
			tally_sync_command(sync, NULL, words, NULL, 2, TALLY_READ, 500);
		code = tally_call_outcome(call) == TALLY_DONE ? 0 : TOOL_FAILED;
		if (code != 0 && local_died(local)) {
			break;
		}
	}
	tally_sync_close(sync);
	return code == 0 ? 0
			 : tool_fail(local->tool, TOOL_FAILED, "the nodes in %s did not come up", local->dir);
}

int local_start(struct local *local, struct tool *tool, const struct local_options *options)
{
	*local = (struct local){.tool = tool, .options = *options, .count = options->nodes};
	if (options->nodes > LOCAL_MAX) {
		local->count = 0;
		return tool_fail(tool, TOOL_USAGE, "at most %d nodes", LOCAL_MAX);
	}
	int code = local_find_tallyd(local);
	code = code == 0 ? local_make_dir(local) : code;
	code = code == 0 ? local_choose_ports(local) : code;
	size_t used = 0;
	for (size_t i = 0; i < local->count && code == 0; i++) {
		used += (size_t)snprintf(local->servers + used, sizeof(local->servers) - used, "%s%s",
					 i > 0 ? "," : "", local->nodes[i].client);
		code = local_revive(local, i);
	}
	code = code == 0 ? local_wait(local) : code;
	if (code != 0) {
		local->options.keep = false;
		local_stop(local);
		return code;
	}
	tool->servers = local->servers;
	return 0;
}

static int remove_visit(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
	return remove(path);
}

/* Not those of the databases, which lie deeper. */
static int remove_but_logs_visit(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
	const char *dot = strrchr(path, '.');
	bool log = ftw->level == 1 && dot != NULL && strcmp(dot, ".log") == 0;
	bool top = ftw->level == 0;
	return log || top ? 0 : remove(path);
}

static void local_stop_node(struct local *local, size_t at)
{
	pid_t pid = local->nodes[at].pid;
	local_reap(local, at);
	if (pid <= 0 || local->nodes[at].pid == 0) {
		return;
	}
	kill(pid, SIGCONT);
	for (unsigned waited = 0; waited < STOP_MS; waited += 10) {
		if (waitpid(pid, NULL, WNOHANG) == pid) {
			local->nodes[at].pid = 0;
			return;
		}
		struct timespec pause = {0, 10 * 1000000L};
		nanosleep(&pause, NULL);
	}
	tool_fail(local->tool, 0, "node n%zu does not stop; it is killed", at + 1);
	local_kill(local, at);
	local_reap(local, at);
}

void local_stop(struct local *local)
{
	if (local->options.keep || local->count == 0) {
		return;
	}
	for (size_t i = 0; i < local->count; i++) {
		if (local->nodes[i].pid > 0) {
			kill(local->nodes[i].pid, SIGTERM);
		}
	}
	for (size_t i = 0; i < local->count; i++) {
		local_stop_node(local, i);
	}
	if (local->dir_is_ours) {
		nftw(local->dir, local->logs_stay ? remove_but_logs_visit : remove_visit, 16,
		     FTW_DEPTH | FTW_PHYS);
	}
	local->count = 0;
}

void local_keep_logs(struct local *local)
{
	local->logs_stay = true;
}
