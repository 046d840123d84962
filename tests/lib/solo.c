#include "tests/lib/solo.h"

#include <assert.h>

#include "base/limits.h"
#include "wire/resp.h"

void solo_open(struct solo *solo)
{
	struct err err = {0};

	*solo = (struct solo){.index = 1, .now_ms = 1700000000000, .seal_every = 7, .protocol = 2};
	solo->disk = store_disk_new();
	struct store_config config = {.dir = "solo", .disk = solo->disk, .memtable_bytes = MIB(4), .cache_bytes = MIB(1)};
	if (store_open(&config, &solo->store, &err) != 0) {
		fatal("solo: %s", err.text);
	}
	solo->overlay = overlay_new(solo->store, MIB(1), 1);
	arena_init(&solo->arena, KIB(64));
	buf_init(&solo->payload, LIMIT_ENTRY);
}

void solo_close(struct solo *solo)
{
	overlay_free(solo->overlay);
	store_close(solo->store, false);
	store_disk_free(solo->disk);
	arena_fini(&solo->arena);
	buf_fini(&solo->payload);
}

void solo_apply(struct solo *solo)
{
	struct err err = {0};
	struct entry_view view;

	if (!overlay_is_open(solo->overlay)) {
		return;
	}
	if (overlay_open_empty(solo->overlay)) {
		overlay_cancel(solo->overlay);
		return;
	}
	buf_reset(&solo->payload);
	overlay_seal(solo->overlay, &solo->payload);
	if (entry_check(buf_slice(&solo->payload), &view) != 0) {
		fatal("solo: a sealed payload is not sound");
	}
	struct store_meta meta = {.index = solo->index, .term = 1, .stamp_ms = solo->now_ms, .configuration = SLICE_NONE};
	if (store_apply(solo->store, &view, &meta, &err) != 0) {
		fatal("solo: %s", err.text);
	}
	overlay_forget(solo->overlay, solo->index);
	solo->index++;
	solo->transactions = 0;
}

void solo_advance(struct solo *solo, uint64_t ms)
{
	solo_apply(solo);
	solo->now_ms += ms;
}

struct txn *solo_begin(struct solo *solo)
{
	if (!overlay_is_open(solo->overlay)) {
		overlay_open(solo->overlay, solo->index, solo->now_ms);
	}
	return txn_begin(solo->overlay, &solo->arena);
}

void solo_end(struct solo *solo, struct txn *txn, bool commit)
{
	bool wrote = txn_wrote(txn);

	if (commit) {
		assert(overlay_fits(solo->overlay, txn));
		txn_commit(txn);
	} else {
		txn_abort(txn);
	}
	solo->transactions += commit && wrote;
	if (solo->transactions >= solo->seal_every || overlay_open_bytes(solo->overlay) > LIMIT_BATCH_SEAL / 2) {
		solo_apply(solo);
	}
}

static void run_command(struct solo *solo, const struct command *command, const struct slice *argv, size_t argc,
                        struct reply *reply)
{
	size_t before = reply->out->len;
	struct txn *txn = solo_begin(solo);
	struct command_call call = {command, txn, &solo->arena, argv, argc, solo->db, reply, solo->index * 2654435761u};
	int rc = command_run(&call);

	if (rc == 0 && !overlay_fits(solo->overlay, txn)) {
		txn_abort(txn);
		reply->out->len = before;
		solo_apply(solo);
		txn = solo_begin(solo);
		call.txn = txn;
		rc = command_run(&call);
	}
	if (rc != 0) {
		reply->out->len = before;
		reply_code(reply, CODE_TOO_LARGE, NULL);
	}
	solo_end(solo, txn, rc == 0);
}

bool solo_run(struct solo *solo, const struct slice *argv, size_t argc, struct buf *out)
{
	const struct command *command = command_find(argv[0]);
	struct reply reply = {out, solo->protocol};

	if (!command_check(command, argv, argc, &reply)) {
		return true;
	}
	if (command->run == NULL) {
		return false;
	}
	run_command(solo, command, argv, argc, &reply);
	arena_reset(&solo->arena);
	return true;
}

const char *solo_line(struct solo *solo, struct buf *out, const char *line)
{
	struct resp_request_state state;
	struct arena arena;
	struct slice *argv;
	size_t argc, used;
	struct buf input;
	struct err err;

	arena_init(&arena, 1024);
	buf_init(&input, MIB(2));
	buf_appendf(&input, "%s\n", line);
	resp_request_init(&state);
	if (resp_request_parse(&state, buf_slice(&input), &arena, &argv, &argc, &used, &err) != 0 || argc == 0) {
		fatal("solo: no request: %s", line);
	}
	buf_reset(out);
	if (!solo_run(solo, argv, argc, out)) {
		buf_append_text(out, "no body");
	}
	buf_append_byte(out, '\0');
	resp_request_fini(&state);
	buf_fini(&input);
	arena_fini(&arena);
	return (const char *)out->data;
}

size_t solo_count(struct solo *solo, uint8_t table)
{
	uint8_t from[1] = {table}, to[1] = {(uint8_t)(table + 1)};
	struct store_cursor *cursor = store_cursor_open(solo->store, slice_of(from, 1), slice_of(to, 1), false);
	struct slice key, value;
	size_t count = 0;

	while (store_cursor_next(cursor, &key, &value)) {
		count++;
	}
	store_cursor_close(cursor);
	return count;
}
