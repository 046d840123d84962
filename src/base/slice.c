#include "base/slice.h"

#include <ctype.h>

bool slice_is_word(struct slice s, const char *text)
{
	for (size_t i = 0; i < s.len; i++) {
		if (text[i] == '\0' || tolower(s.data[i]) != tolower((unsigned char)text[i])) {
			return false;
		}
	}
	return text[s.len] == '\0';
}

bool slice_to_int64(struct slice s, int64_t *value)
{
	size_t at = 0;
	bool negative = s.len > 0 && s.data[0] == '-';
	at += negative;
	if (at == s.len || s.len - at > 19) {
		return false;
	}
	if (s.data[at] == '0') {
		if (s.len != 1) {
			return false;
		}
		*value = 0;
		return true;
	}
	uint64_t sum = 0;
	for (; at < s.len; at++) {
		unsigned digit = (unsigned)s.data[at] - '0';
		if (digit > 9) {
			return false;
		}
		sum = sum * 10 + digit; /* 19 digits fit 64 bits */
	}
	if (sum > (uint64_t)INT64_MAX + negative) {
		return false;
	}
	*value = negative ? (int64_t)(0 - sum) : (int64_t)sum;
	return true;
}
