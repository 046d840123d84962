/* The decoders that scripts of EVAL hand their arguments to: cmsgpack, cjson, struct. The first byte says
 * which, and how long struct's format is. Whatever the bytes are, there is one reply; and what was decoded
 * encodes to bytes that decode to the same. */
#include <assert.h>
#include <string.h>

#include "command/command.h"
#include "script/host.h"
#include "script/lua_redis.h"
#include "store/store.h"
#include "txn/overlay.h"
#include "wire/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REPLY_MAX MIB(8)
#define FORMAT_MAX 32

static const char script[] = "local kind, text, more = ARGV[1], ARGV[2], ARGV[3]\n"
			     "if kind == 's' then\n"
			     "  pcall(struct.size, text)\n"
			     "  pcall(struct.pack, text, more, 7, 1.5, more)\n"
			     "  return {struct.unpack(text, more)}\n"
			     "end\n"
			     "local pack, unpack = cmsgpack.pack, cmsgpack.unpack\n"
			     "if kind == 'j' then pack, unpack = cjson.encode, cjson.decode end\n"
			     "local bytes = pack((unpack(text)))\n"
			     "if pack((unpack(bytes))) ~= bytes then return 'DIFFERS' end\n"
			     "return bytes\n";

struct world {
	struct store_disk *disk;
	struct overlay *overlay;
	struct script_host *host;
	struct arena arena;
	struct buf reply;
};

/* One for all inputs: a store takes too long to open for each. */
static struct world *world(void)
{
	static struct world *kept;
	static struct world room;
	if (kept == NULL) {
		room.disk = store_disk_new();
		struct store_config config = {.dir = "/db", .disk = room.disk};
		struct store *store;
		struct err err = {0};
		int status = store_open(&config, &store, &err);
		assert(status == 0);
		kept = &room;
		kept->overlay = overlay_new(store, MIB(1), 1);
		kept->host = script_host_new(NULL);
		arena_init(&kept->arena, KIB(64));
		buf_init(&kept->reply, REPLY_MAX);
		overlay_open(kept->overlay, 1, 1700000000123);
	}
	return kept;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const kinds[] = {"m", "j", "s", "m"};
	if (size < 1) {
		return 0;
	}
	struct world *w = world();
	struct slice text = slice_of(data + 1, size - 1);
	size_t format = text.len < data[0] % FORMAT_MAX ? text.len : data[0] % FORMAT_MAX;
	const char *kind = kinds[data[0] >> 6];
	bool cut = kind[0] == 's';
	const struct slice argv[] = {SLICE_LIT("EVAL"),
				     slice_str(script),
				     SLICE_LIT("0"),
				     slice_str(kind),
				     cut ? slice_of(text.data, format) : text,
				     cut ? slice_skip(text, format) : SLICE_NONE};
	size_t argc = sizeof(argv) / sizeof(argv[0]), used = 0;
	arena_reset(&w->arena);
	buf_reset(&w->reply);
	struct reply reply = {.out = &w->reply, .protocol = 2};
	struct txn *txn = txn_begin(w->overlay, &w->arena);
	const struct command *command = command_find(argv[0]);
	bool fine = command_check(command, argv, argc, &reply);
	assert(fine);
	struct script_redis call = {.host = w->host,
				    .txn = txn,
				    .arena = &w->arena,
				    .argv = argv,
				    .argc = argc,
				    .reply = &reply,
				    .random = 1};
	script_redis_run(&call);
	txn_abort(txn);
	int whole = resp_reply_measure(buf_slice(&w->reply), REPLY_MAX, &used);
	assert(whole == 0 && used == w->reply.len);
	assert(!slice_equal(buf_slice(&w->reply), SLICE_LIT("$7\r\nDIFFERS\r\n")));
	return 0;
}
