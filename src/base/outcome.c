#include "base/outcome.h"

static const struct {
	const char *name;
	enum outcome outcome;
	const char *text;
} codes[] = {
	[CODE_NONE] = {"", OUTCOME_DONE, ""},
#define X(name, outcome, text) [CODE_##name] = {#name, OUTCOME_##outcome, text},
	OUTCOME_CODES(X)
#undef X
};
#define CODE_COUNT (sizeof(codes) / sizeof(codes[0]))
_Static_assert(CODE_COUNT == CODE_LAST + 1, "the last code is the last of the table");

static const char *const outcome_names[] = {"done", "refused", "conflict", "retry", "unknown"};

const char *code_name(enum code code)
{
	return codes[code].name;
}

enum outcome code_outcome(enum code code)
{
	return codes[code].outcome;
}

const char *code_text(enum code code)
{
	return codes[code].text;
}

enum code code_find(struct slice word)
{
	for (size_t i = 1; i < CODE_COUNT; i++) {
		if (slice_equal(word, slice_str(codes[i].name))) {
			return (enum code)i;
		}
	}
	return CODE_NONE;
}

const char *outcome_name(enum outcome outcome)
{
	return outcome_names[outcome];
}

bool outcome_parse(struct slice word, enum outcome *outcome)
{
	for (size_t i = 0; i < 5; i++) {
		if (slice_equal(word, slice_str(outcome_names[i]))) {
			*outcome = (enum outcome)i;
			return true;
		}
	}
	return false;
}
