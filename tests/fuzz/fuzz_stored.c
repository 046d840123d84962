/* Rows of the database that others than their writer read: byte 0 says which row gets the rest as its value.
 * Whoever reads it is asked then, each in a transaction of its own: there is a whole reply, or an error that
 * ends the transaction. */
#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "command/command.h"
#include "engine/once.h"
#include "script/host.h"
#include "store/keys.h"
#include "tests/unit/script_world.h"
#include "wire/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REPLY_MAX MIB(16)
#define WORDS_MAX 5
#define NOW_MS 1700000000123
/* The first step of scan 1 (command/scan.c). */
#define SCAN_ON "SCAN 1048577"

static const struct slice rows[] = {
	SLICE_LIT("k\0\0\0\0\0k"),                          /* a string */
	SLICE_LIT("g\0"),                                   /* what stands for database 0 */
	SLICE_LIT("g\xfd"),                                 /* the newest scan */
	SLICE_LIT("g\xfe\0\1"),                             /* scan 1 */
	SLICE_LIT("g\xff"),                                 /* how far the expiry index is worked off */
	SLICE_LIT("fllib"),                                 /* a library */
	SLICE_LIT("fnf"),                                   /* whose function f is */
	SLICE_LIT("ba"),                                    /* the active bundle */
	SLICE_LIT("q\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0"), /* ids of a batch */
	SLICE_LIT("q"),                                     /* how far they were removed */
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const char *const lines[] = {
	"GET k",           "OBJECT ENCODING k",   "PTTL k",     "SETRANGE k 3 x", "INCR k",
	"SET k v KEEPTTL", "EXPIRE k 10",         "RENAME k l", "SCAN 0 COUNT 1", SCAN_ON,
	"DBSIZE",          "RANDOMKEY",           "SWAPDB 0 1", "FLUSHDB",        "FUNCTION LIST WITHCODE",
	"FUNCTION DUMP",   "FUNCTION DELETE lib", "FCALL f 0",
};

/* One for all inputs: a store takes too long to open for each. */
static struct world *world(void)
{
	static struct world room;
	if (room.store == NULL) {
		world_open(&room);
		room.now_ms = NOW_MS;
		world_apply(&room);
	}
	return &room;
}

/* With the row in it; NULL when it is larger than a row may be. */
static struct txn *begin(struct world *w, struct slice row, struct slice value)
{
	arena_reset(&w->arena);
	buf_reset(&w->reply);
	struct txn *txn = txn_begin(w->overlay, &w->arena);
	if (txn_put(txn, row, value) != 0) {
		txn_abort(txn);
		return NULL;
	}
	return txn;
}

static int run(struct world *w, struct txn *txn, const char *line)
{
	struct slice argv[WORDS_MAX];
	size_t argc = 0;
	for (; *line != '\0'; argc++) {
		size_t len = strcspn(line, " ");
		argv[argc] = slice_of(line, len);
		line += len + (line[len] == ' ');
	}
	int status = world_command(w, txn, argv, argc);
	assert(status <= 0);
	return status;
}

static void ask(struct world *w, struct slice row, struct slice value, const char *line)
{
	struct txn *txn = begin(w, row, value);
	if (txn == NULL) {
		return;
	}
	size_t used = 0;
	if (run(w, txn, line) == 0) {
		int whole = resp_reply_measure(buf_slice(&w->reply), REPLY_MAX, &used);
		assert(whole == 0 && used == w->reply.len);
	}
	txn_abort(txn);
}

/* What nobody asks for: it runs in the background. */
static void work(struct world *w, struct slice row, struct slice value, unsigned which)
{
	struct txn *txn = begin(w, row, value);
	if (txn == NULL) {
		return;
	}
	uint8_t from[ONCE_AGE_KEY] = {0};
	struct script_bundle *bundle;
	struct script_active active;
	uint64_t version;
	struct command_expiry place = {0};
	size_t deleted = 0;
	bool more = false;
	int status = which == 0   ? command_expire_due(txn, &place, 10, &deleted, &more)
		     : which == 1 ? command_sweep(txn, 10, &deleted, &more)
		     : which == 2 ? once_sweep(txn, from, NOW_MS, &deleted, &more)
		     : which == 3 ? script_active(txn, &w->arena, &active)
				  : host_active(w->host, txn, &bundle, &version);
	assert(status <= 0);
	txn_abort(txn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) {
		return 0;
	}
	struct world *w = world();
	struct slice row = rows[data[0] % ROWS], value = slice_of(data + 1, size - 1);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ask(w, row, value, lines[i]);
	}
	for (unsigned which = 0; which < 5; which++) {
		work(w, row, value, which);
	}
	return 0;
}
