/* Between config.c, which knows the keys, and config_value.c, which reads what is set. */
#ifndef SERVER_CONFIG_PRIVATE_H
#define SERVER_CONFIG_PRIVATE_H

#include "server/node.h"

#include <stddef.h>
#include <stdint.h>

#define DAY_MS (uint64_t)86400000

enum config_kind {
	KIND_TEXT,
	KIND_ADDRESS,
	KIND_INT,
	KIND_SIZE,
	KIND_MS,
	KIND_US,
	KIND_BOOL,
	KIND_LEVEL,
	KIND_MEMBER
};

/* One key. offset and size name a field of struct node_config; min and max are in its unit. */
struct config_key {
	const char *name;
	enum config_kind kind;
	size_t offset, size;
	uint64_t min, max;
	const char *value, *help; /* how --help writes the value and says what it is for */
};

/* Sets the key's field. NULL, or why text is none for it: a half sentence behind the text, perhaps in room. */
#define CONFIG_WHY 96
const char *config_value(struct node_config *config, const struct config_key *key, const char *text,
			 char room[CONFIG_WHY]);
/* Copies text into a field; it fits, the caller has looked. */
void config_text(char *out, size_t size, const char *text);

#endif /* SERVER_CONFIG_PRIVATE_H */
