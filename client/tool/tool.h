/* The tool `tally`: what its commands share.
 *
 * A command is a function that gets its own words and returns an exit code. It
 * asks the cluster through tool_client (opened when first needed) and
 * prints with print.h for people or json_out.h for programs. */
#ifndef CLIENT_TOOL_TOOL_H
#define CLIENT_TOOL_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/tally.h"

/* Exit codes, by outcome. */
enum tool_exit {
	TOOL_DONE = 0,
	TOOL_FAILED = 1, /* a bench whose checks failed, a node that would not start */
	TOOL_USAGE = 2,
	TOOL_REFUSED = 3,
	TOOL_CONFLICT = 4,
	TOOL_RETRY = 5,
	TOOL_UNKNOWN = 6
};

struct tool {
	const char *name; /* the command's words: "script push" */
	const char *servers;
	uint64_t timeout_ms;
	bool json;
	struct tally_sync *sync;
};

struct tool_command {
	const char *name;  /* "script push" */
	const char *usage; /* behind the name: "DIR [NAME]" */
	const char *summary;
	int (*run)(struct tool *tool, int argc, char **argv); /* argv without the name's words */
};
extern const char tool_servers_default[];
extern const struct tool_command tool_commands[];
extern const size_t tool_command_count;
const struct tool_command *tool_command_find(const char *name);

/* Of an answer's map: "" and 0 where there is nothing of the kind. */
const char *tool_text(const struct tally_value *map, const char *key);
long long tool_int(const struct tally_value *map, const char *key);

/* The client, connecting to tool->servers. NULL: a line was printed. */
struct tally_sync *tool_client(struct tool *tool);
void tool_close(struct tool *tool);
/* A line to standard error: "tally call: …". Returns code. */
int tool_fail(const struct tool *tool, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int tool_exit_of(enum tally_outcome outcome);
/* One command over the client; prints nothing. NULL when the client cannot be opened. */
const struct tally_call *tool_ask(struct tool *tool, const char *id, const char *const *words,
				  const size_t *lens, size_t count, unsigned flags);
/* A call that was not DONE: prints why, as a person or a program wants it; the exit code. */
int tool_refused(const struct tool *tool, const struct tally_call *call);

#endif /* CLIENT_TOOL_TOOL_H */
