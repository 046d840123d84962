#include "server/slowlog.h"

#include "base/err.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* "... (N more bytes)" and "... (N more arguments)" */
#define NOTE_BYTES 48

void slowlog_init(struct slowlog *slowlog, size_t max)
{
	list_init(&slowlog->entries);
	slowlog->count = 0;
	slowlog->max = max;
	slowlog->next_id = 0;
}

void slowlog_clear(struct slowlog *slowlog)
{
	struct list *link;
	while ((link = list_pop(&slowlog->entries)) != NULL) {
		free(list_entry(link, struct slowlog_entry, link));
	}
	slowlog->count = 0;
}

void slowlog_fini(struct slowlog *slowlog)
{
	slowlog_clear(slowlog);
}

static char *copy_argument(char *at, struct slice *out, struct slice argument)
{
	size_t len = argument.len > SLOWLOG_ARG_BYTES ? SLOWLOG_ARG_BYTES : argument.len;
	char *begin = at;
	if (len > 0) {
		memcpy(at, argument.data, len);
	}
	at += len;
	if (len < argument.len) {
		at += snprintf(at, NOTE_BYTES, "... (%zu more bytes)", argument.len - len);
	}
	*out = slice_of(begin, (size_t)(at - begin));
	return at;
}

void slowlog_add(struct slowlog *slowlog, uint64_t at_s, uint64_t took_us, const struct slice *argv,
		 size_t argc, const char *peer, const char *name)
{
	if (slowlog->max == 0) {
		return;
	}
	size_t kept = argc > SLOWLOG_ARGS ? SLOWLOG_ARGS : argc;
	struct slowlog_entry *entry = calloc(1, sizeof *entry + kept * (SLOWLOG_ARG_BYTES + NOTE_BYTES));
	if (entry == NULL) {
		fatal("out of memory: the slow log");
	}
	char *at = entry->bytes;
	for (size_t i = 0; i < kept; i++) {
		if (argc > kept && i == kept - 1) {
			int len = snprintf(at, NOTE_BYTES, "... (%zu more arguments)", argc - kept + 1);
			entry->argv[i] = slice_of(at, (size_t)len);
		} else {
			at = copy_argument(at, &entry->argv[i], argv[i]);
		}
	}
	entry->argc = kept;
	entry->id = slowlog->next_id++;
	entry->at_s = at_s;
	entry->took_us = took_us;
	snprintf(entry->peer, sizeof entry->peer, "%s", peer);
	snprintf(entry->name, sizeof entry->name, "%s", name);
	list_append(slowlog->entries.next, &entry->link);
	if (++slowlog->count > slowlog->max) {
		struct list *oldest = slowlog->entries.prev;
		list_remove(oldest);
		free(list_entry(oldest, struct slowlog_entry, link));
		slowlog->count--;
	}
}
