/* TAP (testanything.org) for test programs: a test is a sentence that is true.
 *
 *   int main(void)
 *   {
 *           ok(1 + 1 == 2, "one and one are two");
 *           return tap_done();
 *   }
 */
#ifndef TESTS_LIB_TAP_H
#define TESTS_LIB_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Prints "ok N - sentence" or "not ok …" with file and line. Returns cond. */
#define ok(cond, ...) tap_ok((cond), #cond, __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, want, ...) tap_is_int((int64_t)(got), (int64_t)(want), __FILE__, __LINE__, __VA_ARGS__)
#define is_str(got, want, ...) tap_is_str((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define is_bytes(got, got_len, want, want_len, ...) \
	tap_is_bytes((got), (got_len), (want), (want_len), __FILE__, __LINE__, __VA_ARGS__)

bool tap_ok(bool cond, const char *text, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
bool tap_is_int(int64_t got, int64_t want, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
bool tap_is_str(const char *got, const char *want, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
bool tap_is_bytes(const void *got, size_t got_len, const void *want, size_t want_len, const char *file, int line,
                  const char *format, ...) __attribute__((format(printf, 7, 8)));
/* "ok N # SKIP why" */
void tap_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "# text" */
void tap_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A directory of its own for this process below $TMPDIR or /tmp, removed by tap_done. Real disk, not for timing. */
const char *tap_dir(void);
/* In a child that may end anywhere: its directory is another, inside of its parent's if that has one. */
void tap_forked(void);
/* Prints the plan; 0 when all passed: the exit status of main. */
int tap_done(void);

#endif /* TESTS_LIB_TAP_H */
