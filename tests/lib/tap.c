#include "tests/lib/tap.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A test program is one process with one count: the only globals of the house. */
static struct {
	int count, failed;
	char dir[256];
} tap;

__attribute__((format(printf, 2, 0))) static bool report(bool cond, const char *format, va_list args)
{
	char sentence[512];
	vsnprintf(sentence, sizeof(sentence), format, args);
	for (char *c = sentence; *c; c++) {
		/* A '#' would start a directive. */
		*c = *c == '#' || *c == '\n' ? ' ' : *c;
	}
	printf("%sok %d - %s\n", cond ? "" : "not ", ++tap.count, sentence);
	tap.failed += !cond;
	fflush(stdout);
	return cond;
}

#define REPORT(cond)                          \
	do {                                  \
		va_list args;                 \
		va_start(args, format);       \
		report((cond), format, args); \
		va_end(args);                 \
	} while (0)

bool tap_ok(bool cond, const char *text, const char *file, int line, const char *format, ...)
{
	REPORT(cond);
	if (!cond) {
		printf("# %s:%d: %s\n", file, line, text);
	}
	return cond;
}

bool tap_is_int(int64_t got, int64_t want, const char *file, int line, const char *format, ...)
{
	REPORT(got == want);
	if (got != want) {
		printf("# %s:%d: got %lld, want %lld\n", file, line, (long long)got, (long long)want);
	}
	return got == want;
}

bool tap_is_str(const char *got, const char *want, const char *file, int line, const char *format, ...)
{
	bool same = got == want || (got != NULL && want != NULL && strcmp(got, want) == 0);
	REPORT(same);
	if (!same) {
		printf("# %s:%d: got  \"%s\"\n# %s:%d: want \"%s\"\n", file, line, got ? got : "(null)", file, line,
		       want ? want : "(null)");
	}
	return same;
}

static void print_bytes(const char *label, const uint8_t *bytes, size_t len)
{
	printf("# %s (%zu) ", label, len);
	for (size_t i = 0; i < len && i < 200; i++) {
		if (bytes[i] >= 32 && bytes[i] < 127) {
			putchar(bytes[i]);
		} else {
			printf("\\x%02x", bytes[i]);
		}
	}
	putchar('\n');
}

bool tap_is_bytes(const void *got, size_t got_len, const void *want, size_t want_len, const char *file, int line,
                  const char *format, ...)
{
	bool same = got_len == want_len && (got_len == 0 || memcmp(got, want, got_len) == 0);
	REPORT(same);
	if (!same) {
		printf("# %s:%d:\n", file, line);
		print_bytes("got ", got, got_len);
		print_bytes("want", want, want_len);
	}
	return same;
}

void tap_skip(const char *format, ...)
{
	char why[512];
	va_list args;
	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	printf("ok %d # SKIP %s\n", ++tap.count, why);
	fflush(stdout);
}

void tap_note(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("# ");
	vprintf(format, args);
	putchar('\n');
	fflush(stdout);
	va_end(args);
}

const char *tap_dir(void)
{
	if (tap.dir[0] == '\0') {
		const char *base = getenv("TMPDIR");
		snprintf(tap.dir, sizeof(tap.dir), "%s/tally-test-XXXXXX", base != NULL && *base ? base : "/tmp");
		if (mkdtemp(tap.dir) == NULL) {
			perror("mkdtemp");
			abort();
		}
	}
	return tap.dir;
}

void tap_forked(void)
{
	if (tap.dir[0] != '\0') {
		setenv("TMPDIR", tap.dir, 1);
		tap.dir[0] = '\0';
	}
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

int tap_done(void)
{
	if (tap.dir[0] != '\0') {
		nftw(tap.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	}
	printf("1..%d\n", tap.count);
	return tap.failed == 0 && tap.count > 0 ? 0 : 1;
}
