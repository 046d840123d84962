/* The commands that took longest to run, and SLOWLOG, which tells them: newest first, a
 * bounded number, arguments cut as Redis cuts them. They are told where they ran, and
 * those of another node's clients with that node's address. EXEC and WATCH are one word. */
#ifndef SERVER_SLOWLOG_H
#define SERVER_SLOWLOG_H

#include "base/list.h"
#include "base/slice.h"

#include <stdint.h>

#define SLOWLOG_ARGS 32
#define SLOWLOG_ARG_BYTES 128

struct slowlog {
	struct list entries; /* newest first */
	size_t count, max;
	uint64_t next_id;
};

struct slowlog_entry {
	struct list link;
	uint64_t id, at_s, took_us;
	char peer[64], name[72];
	size_t argc;
	struct slice argv[SLOWLOG_ARGS]; /* into bytes */
	char bytes[];
};

void slowlog_init(struct slowlog *slowlog, size_t max);
void slowlog_fini(struct slowlog *slowlog);
void slowlog_clear(struct slowlog *slowlog);
void slowlog_add(struct slowlog *slowlog, uint64_t at_s, uint64_t took_us, const struct slice *argv,
		 size_t argc, const char *peer, const char *name);

struct call;
/* The call's request ran, took_us are too many, and its words are still there. */
void slowlog_note(const struct call *call, uint64_t took_us);

struct local_call;
void slowlog_get(struct local_call *call);
void slowlog_len(struct local_call *call);
void slowlog_reset(struct local_call *call);
void slowlog_help(struct local_call *call);

#endif /* SERVER_SLOWLOG_H */
