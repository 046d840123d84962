/* A small world for tests of scripts: an in-memory store, an overlay, a host, and
 * calls that commit when they succeed and leave nothing when they do not. */
#ifndef TESTS_UNIT_SCRIPT_WORLD_H
#define TESTS_UNIT_SCRIPT_WORLD_H

#include "script/script.h"
#include "store/store.h"
#include "txn/overlay.h"

struct world {
	struct store_disk *disk;
	struct store *store;
	struct overlay *overlay;
	struct arena arena;
	struct script_host *host;
	struct buf reply;     /* of the last call, NUL behind it */
	enum outcome outcome; /* of the last call */
	bool wrote;
	int protocol;
	bool plain; /* bundles are compiled without sites (script/site.h) */
	uint64_t index, now_ms;
	uint64_t random; /* of world_command */
	uint64_t applied;
};

void world_open(struct world *w);
void world_close(struct world *w);
/* Compiles and pushes: 0, ERR_INVALID (err) or what script_push says. files: name, source, …, NULL. */
int world_push(struct world *w, const char *const *files, struct err *err);
/* The files below a directory (NULL at the end; names relative to it), malloc'd; tests/ is left out. */
char **world_read_bundle(const char *dir);
void world_free_bundle(char **files);
/* CALL procedure name value …, NULL at the end. Its status; the reply is in w->reply. */
int world_call(struct world *w, const char *procedure, ...);
int world_call_argv(struct world *w, struct slice procedure, const struct slice *args, size_t count);
const char *world_reply(const struct world *w);
/* One command of Redis, EVAL and FUNCTION included, in txn, whose end is the caller's. The reply goes behind what w->reply
 * holds. 1 when there is no such command, or not of so many words; else as command_run. */
int world_command(struct world *w, struct txn *txn, const struct slice *argv, size_t argc);
/* Seals the open batch and applies it, and puts the clock to now_ms. */
void world_apply(struct world *w);

#endif /* TESTS_UNIT_SCRIPT_WORLD_H */
