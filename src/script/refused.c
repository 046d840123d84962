#include "script/refused.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/checksum.h"
#include "base/err.h"

static const char head[] = "tally-refused 1\n";
#define CHECK_LINE 23 /* "check ", 16 digits, line end */

static const struct {
	const char *name;
	size_t hash_len;
} kinds[] = {[SCRIPT_PROCEDURE] = {"procedure", 32},
	     [SCRIPT_EVAL] = {"eval", 40},
	     [SCRIPT_LIBRARY] = {"library", 40}};
#define KINDS (sizeof kinds / sizeof kinds[0])

const char *script_kind_name(enum script_kind kind)
{
	assert(kind < KINDS);
	return kinds[kind].name;
}

/* ---- the list ---- */

static bool same(const struct refused_script *refused, enum script_kind kind, const char *hash)
{
	return refused->kind == kind && strcmp(refused->hash, hash) == 0;
}

static bool has(const struct refused *refused, enum script_kind kind, const char *hash)
{
	for (size_t i = 0; i < refused->count; i++) {
		if (same(&refused->scripts[i], kind, hash)) {
			return true;
		}
	}
	return false;
}

bool refused_has(const struct refused *refused, const struct script_identity *script)
{
	return has(refused, script->kind, script->hash);
}

static bool is_plain(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '.' || c == '-';
}

static void copy_name(char *out, struct slice name)
{
	size_t len = name.len < REFUSED_NAME ? name.len : REFUSED_NAME;
	for (size_t i = 0; i < len; i++) {
		out[i] = is_plain(name.data[i]) ? (char)name.data[i] : '_';
	}
	out[len] = '\0';
	if (len == 0) {
		memcpy(out, "-", 2);
	}
}

void refused_add(struct refused *refused, const struct script_identity *script)
{
	size_t len = strlen(script->hash);
	assert(len == kinds[script->kind].hash_len);
	assert(refused->count <= LIMIT_REFUSED);
	if (refused_has(refused, script)) {
		return;
	}
	if (refused->count == LIMIT_REFUSED) {
		refused->count--;
		memmove(refused->scripts, refused->scripts + 1, refused->count * sizeof refused->scripts[0]);
	}
	struct refused_script *added = &refused->scripts[refused->count++];
	added->kind = script->kind;
	copy_name(added->name, script->name);
	memcpy(added->hash, script->hash, len + 1);
}

/* ---- the file ---- */

void refused_encode(const struct refused *refused, struct buf *out)
{
	size_t begin = out->len;
	buf_append_text(out, head);
	for (size_t i = 0; i < refused->count; i++) {
		const struct refused_script *script = &refused->scripts[i];
		buf_appendf(out, "%s %s %s\n", kinds[script->kind].name, script->name, script->hash);
	}
	buf_appendf(out, "check %016" PRIx64 "\n", checksum64(slice_of(out->data + begin, out->len - begin)));
	assert(!buf_failed(out));
}

/* Takes the bytes before the first `end` and that one. */
static bool take_word(struct slice *text, char end, struct slice *word)
{
	const uint8_t *at = text->len == 0 ? NULL : memchr(text->data, end, text->len);
	if (at == NULL) {
		return false;
	}
	*word = slice_of(text->data, (size_t)(at - text->data));
	*text = slice_skip(*text, word->len + 1);
	return true;
}

static bool take_kind(struct slice *text, enum script_kind *kind)
{
	struct slice word;
	if (!take_word(text, ' ', &word)) {
		return false;
	}
	for (size_t i = 0; i < KINDS; i++) {
		if (slice_equal(word, slice_str(kinds[i].name))) {
			*kind = (enum script_kind)i;
			return true;
		}
	}
	return false;
}

static bool take_name(struct slice *text, char *name)
{
	struct slice word;
	if (!take_word(text, ' ', &word) || word.len == 0 || word.len > REFUSED_NAME) {
		return false;
	}
	for (size_t i = 0; i < word.len; i++) {
		if (!is_plain(word.data[i])) {
			return false;
		}
	}
	copy_name(name, word);
	return true;
}

static bool take_hash(struct slice *text, size_t len, char *hash)
{
	struct slice word;
	if (!take_word(text, '\n', &word) || word.len != len) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		uint8_t c = word.data[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
			return false;
		}
	}
	memcpy(hash, word.data, len);
	hash[len] = '\0';
	return true;
}

static bool check_is_right(struct slice lines, struct slice check)
{
	struct buf right;
	buf_init(&right, CHECK_LINE + 1);
	buf_appendf(&right, "check %016" PRIx64 "\n", checksum64(lines));
	bool same = slice_equal(buf_slice(&right), check);
	buf_fini(&right);
	return same;
}

int refused_decode(struct slice bytes, struct refused *out)
{
	struct refused read = {.count = 0};
	if (bytes.len < sizeof head - 1 + CHECK_LINE || !slice_starts_with(bytes, SLICE_LIT(head))) {
		return ERR_CORRUPT;
	}
	struct slice lines = slice_of(bytes.data, bytes.len - CHECK_LINE);
	if (!check_is_right(lines, slice_skip(bytes, lines.len))) {
		return ERR_CORRUPT;
	}
	for (struct slice rest = slice_skip(lines, sizeof head - 1); rest.len > 0;) {
		struct refused_script *script = &read.scripts[read.count];
		if (read.count == LIMIT_REFUSED || !take_kind(&rest, &script->kind) ||
		    !take_name(&rest, script->name) ||
		    !take_hash(&rest, kinds[script->kind].hash_len, script->hash) ||
		    has(&read, script->kind, script->hash)) {
			return ERR_CORRUPT;
		}
		read.count++;
	}
	*out = read;
	return 0;
}
