/* Flags of a command: `--name value`, `--name=value`, in any place; what is left
 * are the command's words. `--` ends the flags. `--help` prints from the same table; a
 * number whose meaning tells no default "(…)" is printed with the one it has. */
#ifndef CLIENT_TOOL_OPTIONS_H
#define CLIENT_TOOL_OPTIONS_H

#include "base/limits.h"
#include "client/tool/tool.h"

enum option_kind {
	OPTION_FLAG,  /* bool, no value */
	OPTION_TEXT,  /* const char * */
	OPTION_COUNT, /* uint64_t */
	OPTION_MS     /* uint64_t milliseconds: "500ms", "2s", "1m" or a plain number of ms */
};
struct option {
	const char *name; /* without dashes */
	enum option_kind kind;
	void *to;
	const char *placeholder;
	const char *meaning;
};

#define OPTIONS_HELP (-1) /* the help was printed: exit 0 */

/* Takes options (and those every command has) out of argv; *argc is what is left. 0, TOOL_USAGE or
 * OPTIONS_HELP. */
int options_parse(struct tool *tool, const struct option *options, size_t count, int *argc, char **argv);
/* The same for a command that takes no words. */
int options_only(struct tool *tool, const struct option *options, size_t count, int argc, char **argv);
/* How many words are flags that every command has, with their values, before the first word that is none: a
 * flag that is not known yet counts as one word. */
int options_leading(int argc, char **argv);
/* Whether "--name" is one of those that every command has. */
bool options_everywhere(const char *flag);
/* "2s" as milliseconds. */
bool options_ms(const char *text, uint64_t *ms);

#endif /* CLIENT_TOOL_OPTIONS_H */
