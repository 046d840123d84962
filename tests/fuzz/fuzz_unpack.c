/* The decoders that scripts of EVAL hand their arguments to: cmsgpack, cjson, struct; and what FUNCTION
 * RESTORE takes, with a right checksum. The first byte says which, and how long struct's format is. Whatever
 * the bytes are, there is one reply; and what was decoded encodes to bytes that decode to the same. Twice
 * before that is looked at: what lies deeper than cmsgpack goes is nil, and a list of it decodes to an empty
 * one, as in Redis. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "tests/unit/script_world.h"
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
			     "local bytes = pack((unpack((pack((unpack(text)))))))\n"
			     "if pack((unpack(bytes))) ~= bytes then return 'DIFFERS' end\n"
			     "return bytes\n";

/* One for all inputs: a store takes too long to open for each. */
static struct world *world(void)
{
	static struct world room;
	if (room.store == NULL) {
		world_open(&room);
		room.protocol = 2;
		room.reply.max = REPLY_MAX;
	}
	return &room;
}

static void run(const struct slice *argv, size_t argc)
{
	struct world *w = world();
	size_t used = 0;
	arena_reset(&w->arena);
	buf_reset(&w->reply);
	struct txn *txn = txn_begin(w->overlay, &w->arena);
	int status = world_command(w, txn, argv, argc);
	assert(status <= 0);
	txn_abort(txn);
	int whole = resp_reply_measure(buf_slice(&w->reply), REPLY_MAX, &used);
	assert(whole == 0 && used == w->reply.len);
}

/* ---- FUNCTION RESTORE ---- */

#define CHECKSUM 8

/* CRC-64 of Jones, bit by bit. */
static uint64_t crc64(const uint8_t *bytes, size_t len)
{
	uint64_t crc = 0;
	for (size_t i = 0; i < len * 8; i++) {
		uint64_t bit = (crc ^ bytes[i / 8] >> i % 8) & 1;
		crc = crc >> 1 ^ (bit != 0 ? UINT64_C(0x95ac9329ac4bc9b5) : 0);
	}
	return crc;
}

static void restore(struct slice bytes)
{
	uint8_t *copy = malloc(bytes.len + 1);
	memcpy(copy, bytes.data, bytes.len);
	if (bytes.len >= CHECKSUM) {
		bytes_put_u64(copy + bytes.len - CHECKSUM, crc64(copy, bytes.len - CHECKSUM));
	}
	const struct slice argv[] = {SLICE_LIT("FUNCTION"), SLICE_LIT("RESTORE"), slice_of(copy, bytes.len),
				     SLICE_LIT("REPLACE")};
	run(argv, 4);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const kinds[] = {"m", "j", "s", "f"};
	if (size < 1) {
		return 0;
	}
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
	if (kind[0] == 'f') {
		restore(text);
		return 0;
	}
	run(argv, sizeof(argv) / sizeof(argv[0]));
	assert(!slice_equal(buf_slice(&world()->reply), SLICE_LIT("$7\r\nDIFFERS\r\n")));
	return 0;
}
