/* What a node is told: a file of `key = value` lines (inih) and flags of the
 * same names, `--key value` or `--key=value`. Flags win over the file.
 *
 * Sizes are bytes or carry KiB, MiB, GiB; times carry us, ms, s, m, h or d.
 * Nothing is guessed: an unknown or doubled key, a missing unit, a number out
 * of range or two settings that contradict each other is an error that says
 * `file:line: reason` (or `--flag: reason`), and nothing has been started. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "server/node.h"

/* Every default; members empty, id 0, which config_finish refuses. */
void config_defaults(struct node_config *config);

/* Where keys came from, so that doubles are found and flags beat the file. */
struct config_reader {
	struct node_config *config;
	uint64_t seen;    /* one bit a key of the table, in this source */
	uint64_t fixed;   /* keys that flags have set */
	const char *file; /* NULL while reading flags */
	unsigned line;
	struct err *err;
};
void config_reader_init(struct config_reader *reader, struct node_config *config, struct err *err);
/* Sets one key; text is NUL-terminated. ERR_INVALID with err filled. */
int config_set(struct config_reader *reader, const char *key, const char *text);

enum config_action { CONFIG_RUN, CONFIG_HELP, CONFIG_VERSION };
/* Flags, then the file that --config names, then config_finish. */
int config_read(struct node_config *config, int argc, char **argv, enum config_action *action,
		struct err *err);
int config_file(struct config_reader *reader, const char *path);
/* Fills what follows from the rest (name, cluster id, shares of memory, a single member) and checks the
 * whole. */
int config_finish(struct node_config *config, struct err *err);

/* The text of --help: every key, its unit and its default. */
void config_help(struct buf *out);

#endif /* SERVER_CONFIG_H */
