#include "tests/unit/txn_world.h"

#include "wire/entry.h"

void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->disk = store_disk_new();
	struct store_config config = {.dir = "/db", .disk = w->disk};
	struct err err = {0};
	if (store_open(&config, &w->store, &err) != 0) {
		fatal("%s", err.text);
	}
	w->overlay = overlay_new(w->store, HOT_BYTES, 1);
	arena_init(&w->arena, 4096);
	w->next_index = 1;
}

void world_fini(struct world *w)
{
	overlay_free(w->overlay);
	store_close(w->store, false);
	store_disk_free(w->disk);
	arena_fini(&w->arena);
	for (size_t i = 0; i < w->sealed_count; i++) {
		buf_fini(&w->sealed[i]);
	}
}

struct txn *begin(struct world *w)
{
	arena_reset(&w->arena);
	return txn_begin(w->overlay, &w->arena);
}

void open_batch(struct world *w)
{
	overlay_open(w->overlay, w->next_index, 1000 + w->next_index);
	w->next_index++;
}

void seal(struct world *w)
{
	w->sealed_index[w->sealed_count] = overlay_open_index(w->overlay);
	struct buf *payload = &w->sealed[w->sealed_count++];
	buf_init(payload, LIMIT_ENTRY);
	overlay_seal(w->overlay, payload);
}

void apply_payload(struct world *w, uint64_t index, struct slice payload)
{
	struct entry_view view;
	if (entry_check(payload, &view) != 0) {
		fatal("a sealed payload does not verify");
	}
	struct store_meta meta = {.index = index, .term = 1};
	if (store_apply(w->store, &view, &meta, NULL) != 0) {
		fatal("cannot apply");
	}
}

uint64_t apply(struct world *w)
{
	uint64_t index = w->sealed_index[0];
	apply_payload(w, index, buf_slice(&w->sealed[0]));
	buf_fini(&w->sealed[0]);
	w->sealed_count--;
	memmove(&w->sealed[0], &w->sealed[1], w->sealed_count * sizeof(w->sealed[0]));
	memmove(&w->sealed_index[0], &w->sealed_index[1], w->sealed_count * sizeof(w->sealed_index[0]));
	return index;
}

void put(struct txn *txn, const char *key, const char *value)
{
	if (txn_put(txn, slice_str(key), slice_str(value)) != 0) {
		fatal("cannot put");
	}
}

void put_alone(struct world *w, const char *key, const char *value)
{
	struct txn *txn = begin(w);
	put(txn, key, value);
	txn_commit(txn);
}

bool reads(struct txn *txn, const char *key, const char *want)
{
	struct slice value;
	int status = txn_get(txn, slice_str(key), &value);
	if (status != 0) {
		return status == ERR_NOT_FOUND && want == NULL;
	}
	return want != NULL && slice_equal(value, slice_str(want));
}

bool reads_hot(struct txn *txn, const char *key, const char *want)
{
	struct slice value;
	int status = txn_get_hot(txn, slice_str(key), &value);
	if (status != 0) {
		return status == ERR_NOT_FOUND && want == NULL;
	}
	return want != NULL && slice_equal(value, slice_str(want));
}
