/* Inside the room: the host of a shard, its cache of compiled bundles, and the
 * rows in which bundles are stored.
 *
 *   'b' 'a'                      the active bundle: version varint, hash 16, count varint, name
 *   'b' 't'                      its tables, as schema_encode writes them
 *   'b' 's' hash(16) place(2)    one file: length of its name (varint), name, source
 */
#ifndef SCRIPT_HOST_H
#define SCRIPT_HOST_H

#include "script/internal.h"

#define HOST_BUNDLES 4

struct script_host {
	struct log *log;
	struct script_bundle *bundles; /* newest use first is not kept: a few, searched by hash */
	uint64_t uses;
	/* What the active row said last, and the bundle it named: compared before it is decoded again. */
	struct script_bundle *active;
	uint64_t active_version;
	uint8_t active_row[256];
	size_t active_row_len;
	struct script_stats stats;
	struct script_watch watch; /* zeroes: none */
	/* EVAL and FUNCTION keep theirs here: made on first use, freed with the host. */
	void *redis;
	void (*redis_free)(void *redis);
};

struct active_row {
	uint64_t version;
	struct chain hash;
	size_t files;
	struct slice name;
};
/* ERR_NOT_FOUND, ERR_CORRUPT, store errors. */
int host_read_active(struct txn *txn, struct slice *row, struct active_row *active);
int host_decode_active(struct slice row, struct active_row *active);
struct script_bundle *host_find_files(struct script_host *host, struct slice name,
				      const struct script_file *files, size_t count);
struct script_bundle *host_find(struct script_host *host, struct chain hash);
/* The active bundle, compiled and ready: 0, ERR_NOT_FOUND (none), ERR_BUSY (not compiled here), store errors.
 */
int host_active(struct script_host *host, struct txn *txn, struct script_bundle **bundle, uint64_t *version);

/* Around what runs a script within this budget, which is watched from here on. False: this node refuses it,
 * the reply is written, and there is no end. */
bool host_begin(struct script_host *host, struct budget *budget, const struct script_identity *running,
		struct arena *arena, struct reply *reply);
void host_end(struct script_host *host);
/* That a call ended with BUDGET_TIME: counted, and written. */
void host_end_late(struct script_host *host, struct reply *reply);

#endif /* SCRIPT_HOST_H */
