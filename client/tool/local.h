/* A cluster of this machine: N tallyd processes on free loopback ports, in a
 * directory on a real disk, stopped and removed by whoever started them.
 *
 * Processes are ended by their ids. When the tool dies its nodes get SIGTERM,
 * unless they are to be kept. */
#ifndef CLIENT_TOOL_LOCAL_H
#define CLIENT_TOOL_LOCAL_H

#include <sys/types.h>

#include "client/tool/tool.h"

#define LOCAL_MAX 9

struct local_options {
	uint64_t nodes;    /* 0: none are started */
	const char *dir;   /* NULL: a new one below $TMPDIR or /var/tmp */
	const char *flags; /* further flags for tallyd, separated by spaces */
	bool unsafe;       /* a memory file system will do */
	bool keep;         /* leave processes and directory behind */
};

struct local_node {
	pid_t pid;   /* 0: not running */
	bool killed; /* by us; not yet reaped */
	char client[64], peer[64];
};
struct local {
	struct tool *tool;
	struct local_options options;
	char tallyd[512];
	char dir[512];
	bool dir_is_ours;
	bool logs_stay;
	char servers[LOCAL_MAX * 64];
	struct local_node nodes[LOCAL_MAX];
	size_t count;
};

/* Starts all and waits until one leads. 0, or an exit code after a line was printed. */
int local_start(struct local *local, struct tool *tool, const struct local_options *options);
/* Stops what runs (unless kept) and removes the directory if it was made here. Harmless when nothing was
 * started. */
void local_stop(struct local *local);
/* Of what local_stop removes, the nodes' logs stay (DIR/n1.log ...): something happened that they may explain. */
void local_keep_logs(struct local *local);
void local_kill(struct local *local, size_t node); /* kill -9; does not wait for the end */
/* SIGTERM; does not wait for the end either. */
void local_term(struct local *local, size_t node);
/* Has it ended that was killed or told to? local_reap waits for it. */
bool local_ended(struct local *local, size_t node);
void local_reap(struct local *local, size_t node);
void local_pause(struct local *local, size_t node, bool pause);
int local_revive(struct local *local, size_t node); /* starts it again; 0 or an exit code */
/* The node with this client address, or count. */
size_t local_find(const struct local *local, const char *address);
/* Has a node ended that was not killed here? Prints the end of its log. */
bool local_died(struct local *local);
/* Name of the file system below path, "tmpfs", "ext4", …; *memory: it is no disk. */
const char *local_file_system(const char *path, bool *memory);
/* The median time of an fdatasync of 4 KiB there, in us; 0 when it cannot be measured. */
uint64_t local_sync_us(const char *dir);
/* What the files in its directory take. */
uint64_t local_disk_bytes(const struct local *local);

#endif /* CLIENT_TOOL_LOCAL_H */
