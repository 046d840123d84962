#include "server/identity.h"

#include "base/buf.h"
#include "base/checksum.h"
#include "base/limits.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FORMAT 1
#define FILE_MAX 512
#define PATH_BYTES 640
/* A start needs room for a log segment's first pages and the database's own files. */
#define START_SPACE MIB(8)

static const char *why(int status)
{
	return err_name(status);
}

static int name_path(char *out, const char *dir, const char *name, struct err *err)
{
	int len = snprintf(out, PATH_BYTES, "%s/%s", dir, name);
	if (len < 0 || len >= PATH_BYTES) {
		return err_set(err, ERR_INVALID, "%s: the path of the data directory is too long", dir);
	}
	return 0;
}

/* The directory that holds dir: "." for a bare name. Trailing slashes do not count. */
static void parent_of(const char *dir, char *out)
{
	size_t len = strlen(dir);
	while (len > 1 && dir[len - 1] == '/') {
		len--;
	}
	while (len > 0 && dir[len - 1] != '/') {
		len--;
	}
	while (len > 1 && dir[len - 1] == '/') {
		len--;
	}
	if (len == 0) {
		memcpy(out, ".", 2);
		return;
	}
	memcpy(out, dir, len);
	out[len] = '\0';
}

/* ---- the text ---- */

static void identity_print(const struct identity *identity, struct buf *text)
{
	assert(text->len == 0);
	buf_appendf(text,
		    "tally-data %d\ncluster %016" PRIx64 "\nnode %" PRIu64 "\nincarnation %016" PRIx64 "\n",
		    FORMAT, identity->cluster_id, identity->node_id, identity->incarnation);
	buf_appendf(text, "check %016" PRIx64 "\n", checksum64(buf_slice(text)));
	assert(!buf_failed(text));
}

/* ---- reading ---- */

static bool read_line(struct slice *text, const char *word, int base, uint64_t *value)
{
	size_t len = strlen(word);
	const uint8_t *end = memchr(text->data, '\n', text->len);
	char number[24];
	if (end == NULL || text->len < len + 1 || memcmp(text->data, word, len) != 0 ||
	    text->data[len] != ' ') {
		return false;
	}
	size_t digits = (size_t)(end - text->data) - len - 1;
	if (digits == 0 || digits >= sizeof number) {
		return false;
	}
	memcpy(number, text->data + len + 1, digits);
	number[digits] = '\0';
	char *stop = NULL;
	*value = strtoull(number, &stop, base);
	*text = slice_skip(*text, (size_t)(end + 1 - text->data));
	return *stop == '\0';
}

static int identity_parse(struct slice text, const char *path, struct identity *identity, struct err *err)
{
	struct slice rest = text;
	uint64_t format = 0;
	if (read_line(&rest, "tally-data", 10, &format) && format > FORMAT) {
		return err_set(err, ERR_VERSION,
			       "%s: written by a newer tallyd (format %" PRIu64
			       ", this one knows %d); run that one",
			       path, format, FORMAT);
	}
	if (format != FORMAT || !read_line(&rest, "cluster", 16, &identity->cluster_id) ||
	    !read_line(&rest, "node", 10, &identity->node_id) ||
	    !read_line(&rest, "incarnation", 16, &identity->incarnation)) {
		return err_set(err, ERR_CORRUPT, "%s: is damaged; restore it from a copy, it never changes",
			       path);
	}
	/* Every byte is as we write it, those of the checksum too. */
	struct buf written;
	buf_init(&written, FILE_MAX);
	identity_print(identity, &written);
	bool same = slice_equal(buf_slice(&written), text);
	buf_fini(&written);
	if (!same) {
		return err_set(err, ERR_CORRUPT,
			       "%s: its checksum is wrong; restore it from a copy, it never changes", path);
	}
	return 0;
}

static int identity_read(struct env *env, const char *path, struct identity *identity, struct err *err)
{
	struct env_file *file = NULL;
	uint8_t bytes[FILE_MAX];
	size_t got = 0;
	int status = env_file_open(env, path, ENV_FILE_READ, &file);
	if (status == ERR_NOT_FOUND) {
		return status;
	}
	if (status != 0) {
		return err_set(err, status, "%s: cannot be opened: %s", path, why(status));
	}
	status = env_file_read(file, 0, bytes, sizeof bytes, &got);
	env_file_close(file);
	if (status != 0) {
		return err_set(err, status, "%s: cannot be read: %s", path, why(status));
	}
	return identity_parse(slice_of(bytes, got), path, identity, err);
}

/* ---- writing ---- */

static int write_synced(struct env *env, const char *path, struct slice text)
{
	struct env_file *file = NULL;
	int status = env_file_open(env, path, ENV_FILE_WRITE | ENV_FILE_CREATE, &file);
	if (status != 0) {
		return status;
	}
	if ((status = env_file_truncate(file, 0)) == 0 &&
	    (status = env_file_write(file, 0, text.data, text.len)) == 0) {
		status = env_file_sync(file);
	}
	env_file_close(file);
	return status;
}

/* The identity's name, and the directory's own, must survive a power cut. At every start: an earlier one may
 * have failed between the rename and this. */
static int names_sync(struct env *env, const char *dir)
{
	char parent[PATH_BYTES];
	parent_of(dir, parent);
	int status = env_dir_sync(env, dir);
	return status != 0 ? status : env_dir_sync(env, parent);
}

static int identity_write(struct env *env, const char *dir, const char *path, const struct identity *identity,
			  struct err *err)
{
	char fresh[PATH_BYTES];
	struct buf text;
	int status = name_path(fresh, dir, "identity.new", err);
	if (status != 0) {
		return status;
	}
	buf_init(&text, FILE_MAX);
	identity_print(identity, &text);
	status = write_synced(env, fresh, buf_slice(&text));
	if (status == 0) {
		status = env_rename(env, fresh, path);
	}
	buf_fini(&text);
	return status == 0 ? 0 : err_set(err, status, "%s: cannot be written: %s", path, why(status));
}

/* ---- the directory ---- */

struct contents {
	bool data; /* something that only a node with an identity makes */
};

static int contents_visit(void *owner, const char *name)
{
	struct contents *contents = owner;
	if (strcmp(name, "log") == 0 || strcmp(name, "db") == 0) {
		contents->data = true;
	}
	return 0;
}

static int directory_make(struct env *env, const char *dir, struct err *err)
{
	uint64_t space = 0;
	struct contents contents = {false};
	int status = env_mkdir(env, dir);
	if (status == ERR_NOT_FOUND) {
		return err_set(err, status, "%s: cannot be made: the directory above is not there", dir);
	}
	if (status != 0 && status != ERR_EXISTS) {
		return err_set(err, status, "%s: cannot be made: %s", dir, why(status));
	}
	if ((status = env_dir_list(env, dir, contents_visit, &contents)) != 0) {
		return err_set(err, status, "%s: is no directory that can be read: %s", dir, why(status));
	}
	if (env_free_space(env, dir, &space) == 0 && space < START_SPACE) {
		return err_set(err, ERR_NO_SPACE,
			       "%s: no space left: %" PRIu64 " bytes are free and a start needs %zu", dir,
			       space, START_SPACE);
	}
	return 0;
}

/* Absent: this is a new node's directory, unless it has data already. */
static int identity_make(struct env *env, const char *dir, const char *path, bool bootstrap,
			 struct identity *identity, struct err *err)
{
	struct contents contents = {false};
	int status = env_dir_list(env, dir, contents_visit, &contents);
	if (status != 0) {
		return err_set(err, status, "%s: cannot be listed: %s", dir, why(status));
	}
	if (contents.data) {
		return err_set(err, ERR_CORRUPT,
			       "%s: is missing, but %s holds data; restore it from a copy, it never changes",
			       path, dir);
	}
	if (!bootstrap) {
		return err_set(err, ERR_NOT_FOUND,
			       "%s: is empty, and bootstrap = no: the data of this node is gone", dir);
	}
	env_random(env, &identity->incarnation, sizeof identity->incarnation);
	identity->fresh = true;
	return identity_write(env, dir, path, identity, err);
}

static int identity_settle(struct env *env, const char *dir, const char *path, uint64_t cluster_id,
			   uint64_t node_id, bool bootstrap, struct identity *identity, struct err *err)
{
	int status = identity_read(env, path, identity, err);
	if (status == ERR_NOT_FOUND) {
		identity->cluster_id = cluster_id;
		identity->node_id = node_id;
		return identity_make(env, dir, path, bootstrap, identity, err);
	}
	if (status != 0) {
		return status;
	}
	if (identity->cluster_id != cluster_id) {
		return err_set(err, ERR_INVALID,
			       "%s: is of another cluster (%016" PRIx64 ", this node's is %016" PRIx64 ")",
			       path, identity->cluster_id, cluster_id);
	}
	if (identity->node_id != node_id) {
		return err_set(err, ERR_INVALID, "%s: is of node %" PRIu64 ", this is node %" PRIu64, path,
			       identity->node_id, node_id);
	}
	return 0;
}

int identity_open(struct env *env, const char *dir, uint64_t cluster_id, uint64_t node_id, bool bootstrap,
		  struct identity *identity, struct err *err)
{
	char path[PATH_BYTES], lock[PATH_BYTES];
	memset(identity, 0, sizeof *identity);
	int status = directory_make(env, dir, err);
	if (status != 0 || (status = name_path(path, dir, "identity", err)) != 0 ||
	    (status = name_path(lock, dir, "lock", err)) != 0) {
		return status;
	}
	status = env_lock_take(env, lock, &identity->lock);
	if (status == ERR_LOCKED) {
		return err_set(err, status, "%s: another process holds it; is this node running already?",
			       lock);
	}
	if (status != 0) {
		return err_set(err, status, "%s: cannot be made: %s", lock, why(status));
	}
	status = identity_settle(env, dir, path, cluster_id, node_id, bootstrap, identity, err);
	if (status == 0 && (status = names_sync(env, dir)) != 0) {
		err_set(err, status, "%s: cannot be made durable: %s", path, why(status));
	}
	if (status != 0) {
		identity_close(identity);
	}
	return status;
}

void identity_close(struct identity *identity)
{
	if (identity->lock != NULL) {
		env_lock_release(identity->lock);
		identity->lock = NULL;
	}
}

bool identity_is_gone(struct env *env, const char *dir)
{
	char path[PATH_BYTES];
	struct env_file *file;
	if (name_path(path, dir, "identity", NULL) != 0) {
		return false;
	}
	int status = env_file_open(env, path, ENV_FILE_READ, &file);
	if (status == 0) {
		env_file_close(file);
	}
	return status == ERR_NOT_FOUND;
}
