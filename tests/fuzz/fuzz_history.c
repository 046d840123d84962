/* A recorded history, as judge-history reads it from a file. What is read has every operation's begin, is
 * written as lines that read the same, and the judges come to a verdict; what is refused names the line. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check/verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A far number makes room for all before it, which a fuzzer takes for a leak. */
#define DIGITS_MAX 4

static bool names_far(const uint8_t *data, size_t size)
{
	static const char word[] = "\"op\"";
	const uint8_t *at = data, *end = data + size;
	while ((at = memmem(at, (size_t)(end - at), word, sizeof(word) - 1)) != NULL) {
		size_t digits = 0;
		for (at += sizeof(word) - 1; at < end && memchr("0123456789 :", *at, 12) != NULL; at++) {
			digits += *at >= '0' && *at <= '9';
		}
		if (digits > DIGITS_MAX) {
			return true;
		}
	}
	return false;
}

static int read_bytes(const void *bytes, size_t len, struct history *history, struct err *err)
{
	FILE *in = fmemopen((void *)(uintptr_t)bytes, len, "r");
	assert(in != NULL);
	history_init(history);
	memset(err, 0, sizeof(*err));
	int status = history_read(history, in, err);
	fclose(in);
	return status;
}

/* The writer has no escapes: ids and codes are ours. */
static bool is_plain(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text == '"' || *text == '\\') {
			return false;
		}
	}
	return true;
}

static void check_again(const struct history *history)
{
	struct history again;
	struct err err;
	char *text = NULL;
	size_t len = 0;
	bool plain = true;
	for (size_t i = 0; i < history->count; i++) {
		plain = plain && is_plain(history->ops[i].id) && is_plain(history->ops[i].code);
	}
	FILE *out = open_memstream(&text, &len);
	int status = history_write(history, out);
	fclose(out);
	assert(status == 0);
	if (plain && len > 0) {
		status = read_bytes(text, len, &again, &err);
		assert(status == 0 && again.count == history->count);
		assert(again.entry_count == history->entry_count && again.hash_count == history->hash_count);
		history_fini(&again);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct history history;
	struct verdict verdict;
	struct err err;
	if (size == 0 || names_far(data, size)) {
		return 0;
	}
	if (read_bytes(data, size, &history, &err) == 0) {
		for (size_t i = 0; i < history.count; i++) {
			assert(history.ops[i].invoked_us != HISTORY_NEVER);
			assert(history.ops[i].id != NULL && history.ops[i].code != NULL);
		}
		check_again(&history);
		int status = verdict_of(&history, &verdict, &err);
		assert(status == 0 || err.text[0] != '\0');
	} else {
		assert(err.text[0] != '\0');
	}
	history_fini(&history);
	return 0;
}
