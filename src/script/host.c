/* Bundles in the store: pushing, the active one, listing. */
#include "script/host.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "store/keys.h"

static const uint8_t active_key[] = {TABLE_BUNDLE, 'a'};
static const uint8_t tables_key[] = {TABLE_BUNDLE, 't'};

struct slice script_active_key(void)
{
	return slice_of(active_key, sizeof active_key);
}

/* ---- rows ---- */

#define FILE_KEY 20
static struct slice file_key(uint8_t *bytes, struct chain hash, size_t place)
{
	bytes[0] = TABLE_BUNDLE;
	bytes[1] = 's';
	for (unsigned i = 0; i < 8; i++) {
		bytes[2 + i] = (uint8_t)(hash.high >> (8 * (7 - i)));
		bytes[10 + i] = (uint8_t)(hash.low >> (8 * (7 - i)));
	}
	bytes[18] = (uint8_t)(place >> 8);
	bytes[19] = (uint8_t)place;
	return slice_of(bytes, FILE_KEY);
}

static void encode_active(struct buf *out, const struct active_row *active)
{
	buf_append_varint(out, active->version);
	buf_append_u64(out, active->hash.low);
	buf_append_u64(out, active->hash.high);
	buf_append_varint(out, active->files);
	buf_append_slice(out, active->name);
}

int host_decode_active(struct slice row, struct active_row *active)
{
	uint64_t files;
	if (!slice_take_varint(&row, &active->version) || !slice_take_u64(&row, &active->hash.low) ||
	    !slice_take_u64(&row, &active->hash.high) || !slice_take_varint(&row, &files) ||
	    files > LIMIT_BUNDLE_FILES || row.len == 0 || row.len > SCHEMA_NAME_MAX) {
		return ERR_CORRUPT;
	}
	active->files = (size_t)files;
	active->name = row;
	return 0;
}

int host_read_active(struct txn *txn, struct slice *row, struct active_row *active)
{
	int status = txn_get_hot(txn, script_active_key(), row);
	return status < 0 ? status : host_decode_active(*row, active);
}

/* ---- the active bundle ---- */

int host_active(struct script_host *host, struct txn *txn, struct script_bundle **bundle, uint64_t *version)
{
	struct slice row;
	int status = txn_get_hot(txn, script_active_key(), &row);
	if (status < 0) {
		return status;
	}
	if (host->active == NULL || !slice_equal(row, slice_of(host->active_row, host->active_row_len))) {
		struct active_row active;
		status = host_decode_active(row, &active);
		if (status < 0) {
			return status;
		}
		host->active = host_find(host, active.hash);
		if (host->active == NULL) {
			return ERR_BUSY;
		}
		assert(row.len <= sizeof host->active_row);
		memcpy(host->active_row, row.data, row.len);
		host->active_row_len = row.len;
		host->active_version = active.version;
	}
	if (host->active->spoiled) {
		/* Its state grew too large or ran out of memory in a call: made anew from the same sources.
		 */
		struct err err = {0};
		bundle_unbuild(host->active);
		if (bundle_build(host->active, &err) < 0) {
			fatal("a bundle that compiled before does not any more: %s", err.text);
		}
		host->stats.compiled++;
	}
	host->active->used = ++host->uses;
	*bundle = host->active;
	*version = host->active_version;
	return 0;
}

int script_active(struct txn *txn, struct arena *arena, struct script_active *active)
{
	struct slice row;
	struct active_row head;
	int status = host_read_active(txn, &row, &head);
	if (status < 0) {
		return status;
	}
	*active = (struct script_active){.version = head.version, .hash = head.hash, .count = head.files};
	active->name = arena_copy(arena, head.name);
	active->files = arena_zalloc(arena, head.files * sizeof *active->files);
	for (size_t i = 0; i < head.files; i++) {
		uint8_t key[FILE_KEY];
		struct slice value;
		uint64_t len;
		status = txn_get(txn, file_key(key, head.hash, i), &value);
		if (status < 0) {
			return status == ERR_NOT_FOUND ? ERR_CORRUPT : status;
		}
		if (!slice_take_varint(&value, &len) || len > value.len) {
			return ERR_CORRUPT;
		}
		active->files[i].name = arena_copy(arena, slice_of(value.data, (size_t)len));
		active->files[i].source = arena_copy(arena, slice_skip(value, (size_t)len));
	}
	return 0;
}

/* ---- pushing ---- */

/* 1 when the table has a row, 0 when not. */
static int has_rows(struct txn *txn, struct arena *arena, const struct schema_table *table)
{
	uint8_t *end = arena_alloc(arena, table->prefix.len);
	memcpy(end, table->prefix.data, table->prefix.len);
	end[table->prefix.len - 1]++; /* behind the 00 that ends the name */
	struct slice key, value;
	struct txn_cursor *cursor =
		txn_cursor_open(txn, table->prefix, slice_of(end, table->prefix.len), false);
	bool found = txn_cursor_next(cursor, &key, &value);
	int status = found ? 0 : txn_cursor_error(cursor);
	txn_cursor_close(cursor);
	return status < 0 ? status : found;
}

static int refuse_table(struct arena *arena, struct reply *reply, const struct schema_table *table,
			const char *why)
{
	const char *name = (const char *)table->name.data;
	reply_code(reply, CODE_SCRIPT_INVALID,
		   arena_printf(arena, "\"table\":\"%s\",\"reason\":\"the table %s has rows, and %s\"", name,
				name, why));
	return ERR_DENIED;
}

/* Tables of the bundle that is active now, against those of the new one. */
static int check_tables(struct txn *txn, struct arena *arena, const struct script_bundle *bundle,
			struct reply *reply)
{
	struct slice row;
	struct schema_table *before;
	size_t count;
	int status = txn_get(txn, slice_of(tables_key, sizeof tables_key), &row);
	if (status < 0) {
		return status == ERR_NOT_FOUND ? 0 : status;
	}
	status = schema_decode(row, arena, &before, &count);
	for (size_t i = 0; i < count && status == 0; i++) {
		const struct schema_table *after = NULL;
		for (size_t k = 0; k < bundle->table_count; k++) {
			if (slice_equal(bundle->tables[k].name, before[i].name)) {
				after = &bundle->tables[k];
			}
		}
		const char *why =
			after == NULL ? "this bundle lacks it: keep it, for one bundle is active at a time"
				      : schema_refuses(&before[i], after, arena);
		if (why == NULL) {
			continue;
		}
		status = has_rows(txn, arena, &before[i]);
		if (status == 1) {
			return refuse_table(arena, reply, &before[i], why);
		}
	}
	return status;
}

static int write_files(struct txn *txn, const struct script_bundle *bundle)
{
	struct buf value;
	int status = 0;
	buf_init(&value, LIMIT_VALUE);
	for (size_t i = 0; i < bundle->file_count && status == 0; i++) {
		uint8_t key[FILE_KEY];
		buf_reset(&value);
		buf_append_varint(&value, bundle->files[i].name.len);
		buf_append_slice(&value, bundle->files[i].name);
		buf_append_slice(&value, bundle->files[i].source);
		status = txn_put(txn, file_key(key, bundle->hash, i), buf_slice(&value));
	}
	buf_fini(&value);
	return status;
}

static int delete_files(struct txn *txn, const struct active_row *old)
{
	int status = 0;
	for (size_t i = 0; i < old->files && status == 0; i++) {
		uint8_t key[FILE_KEY];
		status = txn_delete(txn, file_key(key, old->hash, i));
	}
	return status;
}

static int write_bundle(struct txn *txn, const struct script_bundle *bundle, const struct active_row *row)
{
	struct buf value;
	buf_init(&value, LIMIT_VALUE);
	encode_active(&value, row);
	int status = txn_put(txn, script_active_key(), buf_slice(&value));
	buf_reset(&value);
	schema_encode(bundle->tables, bundle->table_count, &value);
	if (status == 0) {
		status = buf_failed(&value)
				 ? ERR_TOO_LARGE
				 : txn_put(txn, slice_of(tables_key, sizeof tables_key), buf_slice(&value));
	}
	buf_fini(&value);
	return status < 0 ? status : write_files(txn, bundle);
}

static void write_pushed(struct reply *reply, const struct script_bundle *bundle, uint64_t version)
{
	reply_map(reply, 3);
	reply_bulk_text(reply, "name");
	reply_bulk(reply, bundle->name);
	reply_bulk_text(reply, "version");
	reply_integer(reply, (int64_t)version);
	reply_bulk_text(reply, "procedures");
	reply_array(reply, bundle->procedure_count);
	for (size_t i = 0; i < bundle->procedure_count; i++) {
		reply_bulk(reply, bundle->procedures[i].name);
	}
}

int script_push(struct script_host *host, struct txn *txn, struct arena *arena, struct slice bundle_name,
		const struct script_file *files, size_t count, struct reply *reply)
{
	struct script_bundle *bundle = host_find_files(host, bundle_name, files, count);
	if (bundle == NULL) { /* others were compiled since, and took its place in the cache */
		reply_code(reply, CODE_OVERLOADED, "\"reason\":\"many bundles are pushed at once: ask again\"");
		return ERR_DENIED;
	}
	struct slice row;
	struct active_row old,
		new = {.version = 1, .hash = bundle->hash, .files = bundle->file_count, .name = bundle->name};
	int status = host_read_active(txn, &row, &old);
	if (status < 0 && status != ERR_NOT_FOUND) {
		return status;
	}
	if (status == 0) {
		if (chain_equal(old.hash, bundle->hash)) {
			write_pushed(reply, bundle, old.version); /* it is active already */
			return 0;
		}
		new.version = old.version + 1;
		status = check_tables(txn, arena, bundle, reply);
		if (status < 0) {
			return status;
		}
		status = delete_files(txn, &old);
		if (status < 0) {
			return status;
		}
	}
	status = write_bundle(txn, bundle, &new);
	if (status < 0) {
		return status == ERR_TOO_LARGE ? ERR_FULL : status;
	}
	write_pushed(reply, bundle, new.version);
	return 0;
}

/* ---- listing ---- */

static void write_described(struct reply *reply, const struct fields *fields)
{
	struct buf text;
	buf_init(&text, KIB(64));
	reply_map(reply, fields->count);
	for (size_t i = 0; i < fields->count; i++) {
		buf_reset(&text);
		type_describe(&fields->items[i].type, &text);
		reply_bulk(reply, fields->items[i].name);
		reply_bulk(reply, buf_slice(&text));
	}
	buf_fini(&text);
}

static void write_procedure(struct reply *reply, const struct procedure *procedure, const char *bundle)
{
	reply_map(reply, 8);
	reply_bulk_text(reply, "bundle");
	reply_bulk_text(reply, bundle);
	reply_bulk_text(reply, "name");
	reply_bulk(reply, procedure->name);
	reply_bulk_text(reply, "writes");
	reply_bool(reply, procedure->writes);
	reply_bulk_text(reply, "once");
	if (procedure->once < 0) {
		reply_null(reply);
	} else {
		reply_bulk(reply, procedure->args.items[procedure->once].name);
	}
	reply_bulk_text(reply, "keep");
	reply_bulk_text(reply, procedure->keeps_refusals ? "all" : "success");
	reply_bulk_text(reply, "args");
	write_described(reply, &procedure->args);
	reply_bulk_text(reply, "result");
	write_described(reply, &procedure->results);
	reply_bulk_text(reply, "fails");
	reply_map(reply, procedure->fail_count);
	for (size_t i = 0; i < procedure->fail_count; i++) {
		reply_bulk(reply, procedure->fails[i].code);
		reply_bulk_text(reply, procedure->fails[i].conflict ? "conflict" : "refused");
	}
}

int script_list(struct script_host *host, struct txn *txn, struct arena *arena, struct reply *reply)
{
	struct script_bundle *bundle;
	uint64_t version;
	int status = host_active(host, txn, &bundle, &version);
	if (status == ERR_NOT_FOUND) {
		reply_array(reply, 0);
		return 0;
	}
	if (status < 0) {
		return status;
	}
	const char *name = arena_printf(arena, "%.*s@%llu", (int)bundle->name.len,
					(const char *)bundle->name.data, (unsigned long long)version);
	reply_array(reply, bundle->procedure_count);
	for (size_t i = 0; i < bundle->procedure_count; i++) {
		write_procedure(reply, &bundle->procedures[i], name);
	}
	return 0;
}
