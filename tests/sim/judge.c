#include "tests/sim/judge.h"

#include "tests/check/verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void judge_init(struct judge *judge)
{
	memset(judge, 0, sizeof(*judge));
	history_init(&judge->history);
}

void judge_fini(struct judge *judge)
{
	free(judge->entries);
	free(judge->leaders);
	history_fini(&judge->history);
}

void judge_fail(struct judge *judge, const char *format, ...)
{
	if (judge->failed) {
		return;
	}
	judge->failed = true;
	va_list args;
	va_start(args, format);
	vsnprintf(judge->failure, sizeof(judge->failure), format, args);
	va_end(args);
}

void judge_started(struct judge *judge, unsigned member, uint64_t held)
{
	judge->applied[member] = held;
	judge->commits[member] = 0;
}

static void *grow(void *list, uint64_t count, uint64_t *cap, size_t size)
{
	if (count < *cap) {
		return list;
	}
	*cap = *cap == 0 ? 1024 : *cap * 2;
	list = realloc(list, *cap * size);
	if (list == NULL) {
		fatal("out of memory for the judge");
	}
	return list;
}

void judge_applied(struct judge *judge, unsigned member, const struct entry *entry)
{
	uint64_t last = judge->applied[member];
	if (entry->index != last + 1) {
		judge_fail(judge, "n%u applied index %" PRIu64 ", and its database holds %" PRIu64, member + 1, entry->index,
			   last);
		return;
	}
	judge->applied[member] = entry->index;
	if (entry->index > judge->entry_count + 1) {
		judge_fail(judge, "n%u applied index %" PRIu64 ", but nobody applied %" PRIu64, member + 1, entry->index,
			   judge->entry_count + 1);
		return;
	}
	if (entry->index == judge->entry_count + 1) {
		judge->entries = grow(judge->entries, judge->entry_count, &judge->entry_cap, sizeof(*judge->entries));
		judge->entries[judge->entry_count++] = (struct judge_entry){entry->term, entry->chain};
		history_add_entry(&judge->history, entry->index,
				  entry->type == ENTRY_COMMAND ? entry_payload(entry) : SLICE_NONE);
		return;
	}
	const struct judge_entry *first = &judge->entries[entry->index - 1];
	if (first->term != entry->term || !chain_equal(first->chain, entry->chain)) {
		judge_fail(judge, "n%u applied another entry at index %" PRIu64 ": term %" PRIu64 ", first seen term %" PRIu64,
			   member + 1, entry->index, entry->term, first->term);
	}
}

void judge_leads(struct judge *judge, unsigned member, uint64_t term)
{
	for (size_t i = judge->leader_count; i-- > 0;) {
		const struct judge_leader *leader = &judge->leaders[i];
		if (leader->term == term) {
			if (leader->member != member) {
				judge_fail(judge, "two leaders in term %" PRIu64 ": n%u and n%u", term, leader->member + 1,
					   member + 1);
			}
			return;
		}
	}
	uint64_t cap = judge->leader_cap;
	judge->leaders = grow(judge->leaders, judge->leader_count, &cap, sizeof(*judge->leaders));
	judge->leader_cap = cap;
	if (judge->leader_count > 0) {
		judge->leader_changes++;
	}
	judge->leaders[judge->leader_count++] = (struct judge_leader){term, member};
}

void judge_commit(struct judge *judge, unsigned member, uint64_t commit_index)
{
	if (commit_index < judge->commits[member]) {
		judge_fail(judge, "n%u: the commit index fell from %" PRIu64 " to %" PRIu64, member + 1,
			   judge->commits[member], commit_index);
	}
	judge->commits[member] = commit_index;
}

void judge_verdict(struct judge *judge)
{
	struct verdict verdict;
	struct err err = {0};
	if (verdict_of(&judge->history, &verdict, &err) != 0) {
		judge_fail(judge, "%s", err.text);
	}
}
