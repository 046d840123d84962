#include "client/tool/print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- pieces ---- */

void print_text(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c < 0x20 || c == 0x7F) {
			fprintf(out, "\\x%02x", c);
		} else {
			fputc(c, out);
		}
	}
}

const char *print_duration(uint64_t ms, char *room, size_t size)
{
	uint64_t s = ms / 1000;
	if (ms < 1000) {
		snprintf(room, size, "%" PRIu64 " ms", ms);
	} else if (s < 60) {
		snprintf(room, size, "%" PRIu64 " s", s);
	} else if (s < 3600) {
		snprintf(room, size, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	} else if (s < 86400) {
		snprintf(room, size, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
	} else {
		snprintf(room, size, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
	}
	return room;
}

const char *print_us(uint64_t us, char *room, size_t size)
{
	if (us < 1000) {
		snprintf(room, size, "%" PRIu64 " us", us);
	} else if (us < 100000) {
		snprintf(room, size, "%.1f ms", (double)us / 1e3);
	} else if (us < 1000000) {
		snprintf(room, size, "%" PRIu64 " ms", us / 1000);
	} else {
		snprintf(room, size, "%.2f s", (double)us / 1e6);
	}
	return room;
}

const char *print_count(uint64_t count, char *room, size_t size)
{
	char digits[32];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, count);
	size_t at = 0;
	for (int i = 0; i < len && at + 2 < size; i++) {
		if (i > 0 && (len - i) % 3 == 0) {
			room[at++] = ',';
		}
		room[at++] = digits[i];
	}
	room[at] = '\0';
	return room;
}

bool print_is_terminal(FILE *out)
{
	return isatty(fileno(out)) == 1;
}

/* ---- money and times ---- */

/* Digits behind the point (ISO 4217). */
static unsigned currency_exponent(const char *currency)
{
	static const char *const none[] = {"JPY", "KRW", "VND", "CLP", "ISK", "XAF", "XOF", "PYG", "UGX"};
	static const char *const three[] = {"KWD", "BHD", "OMR", "JOD", "TND", "IQD", "LYD"};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		if (strcmp(currency, none[i]) == 0) {
			return 0;
		}
	}
	for (size_t i = 0; i < sizeof(three) / sizeof(three[0]); i++) {
		if (strcmp(currency, three[i]) == 0) {
			return 3;
		}
	}
	return 2;
}

void print_money_init(struct print_money *money, const struct tally_value *types)
{
	const char *currency = getenv("TALLY_CURRENCY");
	*money = (struct print_money){0};
	snprintf(money->currency, sizeof(money->currency), "%s", currency != NULL ? currency : "CNY");
	for (size_t i = 0; i < tally_value_count(types) && money->count < 16; i++) {
		const char *name = tally_value_key_at(types, i, NULL);
		const char *type = tally_value_text(tally_value_at(types, i), NULL);
		if (name != NULL && type != NULL && strncmp(type, "money", 5) == 0) {
			snprintf(money->names[money->count++], sizeof(money->names[0]), "%s", name);
		}
	}
}

static bool print_is_money(const struct print_money *money, const char *name)
{
	for (size_t i = 0; money != NULL && i < money->count; i++) {
		if (strcmp(money->names[i], name) == 0) {
			return true;
		}
	}
	return false;
}

static void print_amount(FILE *out, int64_t amount, const char *currency)
{
	unsigned exponent = currency_exponent(currency);
	uint64_t scale = exponent == 0 ? 1 : exponent == 2 ? 100 : 1000;
	uint64_t size = amount < 0 ? 0 - (uint64_t)amount : (uint64_t)amount;
	fprintf(out, "%s%" PRIu64, amount < 0 ? "-" : "", size / scale);
	if (exponent > 0) {
		fprintf(out, ".%0*" PRIu64, (int)exponent, size % scale);
	}
	fprintf(out, " %s", currency);
}

/* From 2001 on; smaller numbers are durations. */
#define TIME_MIN_MS INT64_C(1000000000000)

static void print_time(FILE *out, int64_t at_ms, uint64_t wall_ms)
{
	time_t seconds = (time_t)(at_ms / 1000);
	struct tm local;
	char text[64];
	char zone[16];
	char room[64];
	localtime_r(&seconds, &local);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local);
	strftime(zone, sizeof(zone), "%z", &local);
	fprintf(out, "%s%.3s:%s", text, zone, zone + 3);
	int64_t left_ms = at_ms - (int64_t)wall_ms;
	if (left_ms >= 0) {
		fprintf(out, " (in %s)", print_duration((uint64_t)left_ms, room, sizeof(room)));
	} else {
		fprintf(out, " (%s ago)", print_duration((uint64_t)-left_ms, room, sizeof(room)));
	}
}

static bool ends_in_ms(const char *name, size_t len)
{
	return len > 3 && strncmp(name + len - 3, "_ms", 3) == 0;
}

/* ---- whole values ---- */

static void print_inline(FILE *out, const struct tally_value *value)
{
	size_t len = 0;
	const char *text = tally_value_text(value, &len);
	switch (tally_value_type(value)) {
	case TALLY_NIL:
		fputs("-", out);
		return;
	case TALLY_BOOL:
		fputs(tally_value_int(value, 0) != 0 ? "yes" : "no", out);
		return;
	case TALLY_INT:
		fprintf(out, "%" PRId64, tally_value_int(value, 0));
		return;
	case TALLY_FLOAT:
		fprintf(out, "%.17g", tally_value_float(value, 0));
		return;
	case TALLY_TEXT:
		print_text(out, text, len);
		return;
	case TALLY_LIST:
	case TALLY_MAP:
		break;
	}
	bool map = tally_value_type(value) == TALLY_MAP;
	fputc(map ? '{' : '[', out);
	for (size_t i = 0; i < tally_value_count(value); i++) {
		fputs(i > 0 ? ", " : "", out);
		if (map) {
			const char *key = tally_value_key_at(value, i, &len);
			print_text(out, key != NULL ? key : "?", key != NULL ? len : 1);
			fputc(' ', out);
		}
		print_inline(out, tally_value_at(value, i));
	}
	fputc(map ? '}' : ']', out);
}

void print_result(FILE *out, const struct tally_value *value, uint64_t wall_ms,
		  const struct print_money *money)
{
	if (tally_value_type(value) != TALLY_MAP) {
		print_value(out, value);
		return;
	}
	bool first = true;
	for (size_t i = 0; i < tally_value_count(value); i++) {
		size_t len = 0;
		const char *key = tally_value_key_at(value, i, &len);
		const struct tally_value *field = tally_value_at(value, i);
		if (key == NULL || (strcmp(key, "replayed") == 0 && tally_value_type(field) == TALLY_BOOL)) {
			continue; /* told in the line below */
		}
		fputs(first ? "" : " · ", out);
		first = false;
		bool time = ends_in_ms(key, len) && tally_value_type(field) == TALLY_INT;
		print_text(out, key, time ? len - 3 : len);
		fputc(' ', out);
		int64_t number = tally_value_int(field, 0);
		char room[64];
		if (time && number >= TIME_MIN_MS) {
			print_time(out, number, wall_ms);
		} else if (time && number >= 0) {
			fputs(print_duration((uint64_t)number, room, sizeof(room)), out);
		} else if (tally_value_type(field) == TALLY_INT && print_is_money(money, key)) {
			print_amount(out, number, money->currency);
		} else {
			print_inline(out, field);
		}
	}
	fputc('\n', out);
}

void print_value(FILE *out, const struct tally_value *value)
{
	bool map = tally_value_type(value) == TALLY_MAP;
	if (!map && tally_value_type(value) != TALLY_LIST) {
		print_inline(out, value);
		fputc('\n', out);
		return;
	}
	for (size_t i = 0; i < tally_value_count(value); i++) {
		if (map) {
			size_t len = 0;
			const char *key = tally_value_key_at(value, i, &len);
			print_text(out, key != NULL ? key : "?", key != NULL ? len : 1);
			fputs(": ", out);
		}
		print_inline(out, tally_value_at(value, i));
		fputc('\n', out);
	}
}

void print_details(FILE *out, const struct tally_value *details)
{
	for (size_t i = 0; i < tally_value_count(details); i++) {
		size_t len = 0;
		const char *key = tally_value_key_at(details, i, &len);
		if (key == NULL || strcmp(key, "outcome") == 0) {
			continue;
		}
		fputc(' ', out);
		print_text(out, key, len);
		fputc('=', out);
		print_inline(out, tally_value_at(details, i));
	}
}
