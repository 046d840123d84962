/* The door: hosts, and bundles made of files. */
#include "script/host.h"

#include <assert.h>
#include <stdlib.h>

/* ---- hosts ---- */

struct script_host *script_host_new(struct log *log)
{
	struct script_host *host = calloc(1, sizeof *host);
	if (host == NULL) {
		fatal("out of memory: script host");
	}
	host->log = log;
	return host;
}

void script_host_free(struct script_host *host)
{
	if (host == NULL) {
		return;
	}
	while (host->bundles != NULL) {
		struct script_bundle *next = host->bundles->next;
		script_bundle_free(host->bundles);
		host->bundles = next;
	}
	if (host->redis != NULL && host->redis_free != NULL) {
		host->redis_free(host->redis);
	}
	free(host);
}

void script_stats(const struct script_host *host, struct script_stats *stats)
{
	*stats = host->stats;
	stats->refused = host->watch.refused == NULL ? 0 : host->watch.refused->count;
}

/* ---- bundles ---- */

static int compare_files(const void *left, const void *right)
{
	return slice_compare(((const struct script_file *)left)->name,
			     ((const struct script_file *)right)->name);
}

/* Of names and sources in the order of names, each with its length. */
static struct chain hash_files(struct slice bundle_name, const struct script_file *files, size_t count)
{
	struct buf bytes;
	buf_init(&bytes, LIMIT_BUNDLE_BYTES + MIB(1));
	buf_append_varint(&bytes, bundle_name.len);
	buf_append_slice(&bytes, bundle_name);
	for (size_t i = 0; i < count; i++) {
		buf_append_varint(&bytes, files[i].name.len);
		buf_append_slice(&bytes, files[i].name);
		buf_append_varint(&bytes, files[i].source.len);
		buf_append_slice(&bytes, files[i].source);
	}
	assert(!buf_failed(&bytes));
	struct chain hash = checksum128(buf_slice(&bytes));
	buf_fini(&bytes);
	return hash;
}

static int check_files(struct slice bundle_name, const struct script_file *files, size_t count,
		       struct err *err)
{
	size_t bytes = 0;
	bool good = bundle_name.len > 0 && bundle_name.len <= SCHEMA_NAME_MAX;
	for (size_t i = 0; i < bundle_name.len && good; i++) {
		uint8_t c = bundle_name.data[i];
		good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
	}
	if (!good) {
		return err_set(err, ERR_INVALID,
			       "a bundle's name is small letters, digits, _ and -, at most %d",
			       SCHEMA_NAME_MAX);
	}
	if (count == 0 || count > LIMIT_BUNDLE_FILES) {
		return err_set(err, ERR_INVALID, "a bundle has 1 to %d files", LIMIT_BUNDLE_FILES);
	}
	for (size_t i = 0; i < count; i++) {
		if (files[i].source.len > LIMIT_SCRIPT_SOURCE) {
			return err_set(err, ERR_INVALID, "%.*s:1: the source is larger than 64 KiB",
				       (int)files[i].name.len, (const char *)files[i].name.data);
		}
		bytes += files[i].name.len + files[i].source.len;
	}
	if (bytes > LIMIT_BUNDLE_BYTES) {
		return err_set(err, ERR_INVALID, "the bundle is larger than %zu KiB",
			       LIMIT_BUNDLE_BYTES / 1024);
	}
	return 0;
}

int script_compile(struct slice bundle_name, const struct script_file *files, size_t count,
		   struct script_bundle **made, struct err *err)
{
	return bundle_compile(bundle_name, files, count, false, made, err);
}

int bundle_compile(struct slice bundle_name, const struct script_file *files, size_t count, bool plain,
		   struct script_bundle **made, struct err *err)
{
	int status = check_files(bundle_name, files, count, err);
	if (status < 0) {
		return status;
	}
	struct script_bundle *bundle = calloc(1, sizeof *bundle);
	if (bundle == NULL) {
		fatal("out of memory: script bundle");
	}
	bundle->plain = plain;
	arena_init(&bundle->kept, KIB(64));
	bundle->name = arena_copy(&bundle->kept, bundle_name);
	bundle->file_count = count;
	bundle->files = arena_alloc(&bundle->kept, count * sizeof *bundle->files);
	for (size_t i = 0; i < count; i++) {
		bundle->files[i].name = arena_copy(&bundle->kept, files[i].name);
		bundle->files[i].source = arena_copy(&bundle->kept, files[i].source);
	}
	qsort(bundle->files, count, sizeof *bundle->files, compare_files);
	bundle->hash = hash_files(bundle->name, bundle->files, count);
	for (size_t i = 1; i < count && status == 0; i++) {
		if (slice_equal(bundle->files[i - 1].name, bundle->files[i].name)) {
			status = err_set(err, ERR_INVALID, "%s is in the bundle twice",
					 (const char *)bundle->files[i].name.data);
		}
	}
	if (status == 0) {
		status = bundle_build(bundle, err);
	}
	if (status < 0) {
		arena_fini(&bundle->kept);
		free(bundle);
		return status;
	}
	*made = bundle;
	return 0;
}

void script_bundle_free(struct script_bundle *bundle)
{
	if (bundle == NULL) {
		return;
	}
	bundle_unbuild(bundle);
	arena_fini(&bundle->kept);
	free(bundle);
}

struct chain script_bundle_hash(const struct script_bundle *bundle)
{
	return bundle->hash;
}

/* The same files may come in another order. */
struct script_bundle *host_find_files(struct script_host *host, struct slice name,
				      const struct script_file *files, size_t count)
{
	if (check_files(name, files, count, NULL) < 0) {
		return NULL;
	}
	struct script_file sorted[LIMIT_BUNDLE_FILES];
	memcpy(sorted, files, count * sizeof *files);
	qsort(sorted, count, sizeof *sorted, compare_files);
	return host_find(host, hash_files(name, sorted, count));
}
