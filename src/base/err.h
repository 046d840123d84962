/* Failures of the world: negative codes, and a struct err where a person will
 * read about it. Outputs stay untouched on failure. Our own mistakes are
 * assertions; lost truth is fatal().
 *
 * These codes never leave the process: what a client sees is wire/code.h. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err_code {
	ERR_NOT_FOUND = -1,  /* the thing asked for is not there */
	ERR_EXISTS = -2,     /* the thing to be made is already there */
	ERR_INVALID = -3,    /* bytes or arguments that make no sense */
	ERR_TOO_LARGE = -4,  /* over a bound of base/limits.h */
	ERR_FULL = -5,       /* a bounded queue or buffer has no room now */
	ERR_CORRUPT = -6,    /* a checksum or format lies */
	ERR_IO = -7,         /* the disk or the kernel said no */
	ERR_NO_SPACE = -8,   /* no space left on device or quota */
	ERR_CLOSED = -9,     /* the stream or object is closed or was cut */
	ERR_CANCELLED = -10, /* given up because its owner is closing */
	ERR_TIMEOUT = -11,   /* its time ran out */
	ERR_NOT_LEADER = -12,
	ERR_BUSY = -13,      /* overload: try later */
	ERR_LOCKED = -14,    /* held by another process */
	ERR_DENIED = -15,    /* not permitted */
	ERR_VERSION = -16,   /* a format or protocol version we do not speak */
	ERR_MORE = -17,      /* a decoder needs more bytes */
	ERR_OVERFLOW = -18,  /* a number leaves its range */
	ERR_BUDGET = -19,    /* a budget of steps or memory is spent */
	ERR_TYPE = -20       /* a value of another type */
};

#define ERR_TEXT_MAX 512

/* Zero-initialised is "no error". Filled only on failure, by the innermost
 * call that knows what happened; later calls may prefix it. */
struct err {
	int code;
	char text[ERR_TEXT_MAX]; /* one line, no newline at its end */
};

/* Fills err (which may be NULL) and returns code, so callers can
 * `return err_set(err, ERR_IO, "cannot open %s: %s", path, why)`. */
int err_set(struct err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Short name of a code: "not found", "no space left". Never NULL. */
const char *err_name(int code);

/* Truth is lost or memory is gone: one line to standard error, then abort().
 * The line says which file or object and what the operator should do. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same line, then the end with status 1 and without a core: the process is in order, and what
 * it was given (a disk, a directory, an address) is not. */
_Noreturn void fatal_exit(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif /* BASE_ERR_H */
