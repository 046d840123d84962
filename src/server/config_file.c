/* The settings file: inih splits its lines, config_set takes the pairs. */
#include "server/config.h"

#include "base/limits.h"

#include <ini.h>
#include <stdio.h>

#define FILE_BYTES_MAX KIB(256)

/* inih tells its handler no line number, so the reader beneath it counts. */
struct file_walk {
	struct config_reader *reader;
	struct slice rest;
	int status;
};

static int walk_error(struct file_walk *walk, const char *wrong)
{
	struct config_reader *reader = walk->reader;
	walk->status = err_set(reader->err, ERR_INVALID, "%s:%u: %s", reader->file, reader->line, wrong);
	return walk->status;
}

static char *walk_line(char *out, int size, void *stream)
{
	struct file_walk *walk = stream;
	if (walk->status != 0 || walk->rest.len == 0) {
		return NULL;
	}
	const uint8_t *end = memchr(walk->rest.data, '\n', walk->rest.len);
	size_t len = end == NULL ? walk->rest.len : (size_t)(end - walk->rest.data) + 1;
	walk->reader->line++;
	if (len + 1 > (size_t)size) {
		walk_error(walk, "the line is too long");
		return NULL;
	}
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = walk->rest.data[i];
		if ((byte < ' ' && strchr("\t\r\n", byte) == NULL) || byte == 0) {
			walk_error(walk, "the line holds a control character");
			return NULL;
		}
	}
	memcpy(out, walk->rest.data, len);
	out[len] = '\0';
	walk->rest = slice_skip(walk->rest, len);
	return out;
}

/* What other formats have and this one takes literally: a directory would be made with the quotes in its
 * name. inih also splits at a colon, so a line without = looks like a pair. NULL: fine. */
static const char *odd_pair(const char *name, const char *value)
{
	size_t len = strlen(value);
	if (strpbrk(name, " \t\"{") != NULL) {
		return "this is no `key = value`";
	}
	if (strstr(value, " #") != NULL || strstr(value, "\t#") != NULL) {
		return "a comment stands on a line of its own";
	}
	if (len >= 2 && value[0] == value[len - 1] && (value[0] == '"' || value[0] == '\'')) {
		return "values stand without quotes";
	}
	return NULL;
}

static int walk_pair(void *user, const char *section, const char *name, const char *value)
{
	struct file_walk *walk = user;
	struct config_reader *reader = walk->reader;
	if (walk->status != 0) {
		return 0;
	}
	if (section[0] != '\0') {
		walk->status = err_set(reader->err, ERR_INVALID, "%s:%u: [%s]: there are no sections",
				       reader->file, reader->line, section);
		return 0;
	}
	const char *wrong = odd_pair(name, value);
	walk->status = wrong != NULL ? walk_error(walk, wrong) : config_set(reader, name, value);
	return walk->status == 0;
}

/* The whole file; it is small or it is none of ours. */
static int read_whole(const char *path, struct buf *text, struct err *err)
{
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		return err_set(err, ERR_NOT_FOUND, "%s: cannot be opened: %m", path);
	}
	uint8_t *room = buf_reserve(text, FILE_BYTES_MAX);
	text->len = fread(room, 1, FILE_BYTES_MAX, file);
	bool unread = ferror(file) != 0;
	fclose(file);
	if (unread) {
		return err_set(err, ERR_IO, "%s: cannot be read", path);
	}
	return text->len < FILE_BYTES_MAX
		       ? 0
		       : err_set(err, ERR_TOO_LARGE, "%s: is too large for settings", path);
}

int config_file(struct config_reader *reader, const char *path)
{
	struct buf text;
	buf_init(&text, FILE_BYTES_MAX);
	reader->file = path;
	reader->line = 0;
	reader->seen = 0;
	int status = read_whole(path, &text, reader->err);
	if (status == 0) {
		/* walk is both ends of inih: what reads lines and what takes pairs. */
		struct file_walk walk = {reader, buf_slice(&text), 0};
		int line = ini_parse_stream(walk_line, &walk, walk_pair, &walk);
		status = walk.status;
		if (status == 0 && line != 0) {
			status = err_set(reader->err, ERR_INVALID, "%s:%d: this is no `key = value`", path,
					 line);
		}
	}
	buf_fini(&text);
	return status;
}
