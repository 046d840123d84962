#include "base/err.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long the last line may wait for somebody who reads. */
#define LAST_LINE_MS 100

int err_set(struct err *err, int code, const char *format, ...)
{
	if (err != NULL) {
		va_list args;
		va_start(args, format);
		err->code = code;
		vsnprintf(err->text, sizeof(err->text), format, args);
		va_end(args);
	}
	return code;
}

const char *err_name(int code)
{
	switch (code) {
	case 0:
		return "no error";
	case ERR_NOT_FOUND:
		return "not found";
	case ERR_EXISTS:
		return "already exists";
	case ERR_INVALID:
		return "invalid";
	case ERR_TOO_LARGE:
		return "too large";
	case ERR_FULL:
		return "full";
	case ERR_CORRUPT:
		return "corrupt";
	case ERR_IO:
		return "input/output error";
	case ERR_NO_SPACE:
		return "no space left";
	case ERR_CLOSED:
		return "closed";
	case ERR_CANCELLED:
		return "cancelled";
	case ERR_TIMEOUT:
		return "timed out";
	case ERR_NOT_LEADER:
		return "not the leader";
	case ERR_BUSY:
		return "busy";
	case ERR_LOCKED:
		return "locked";
	case ERR_DENIED:
		return "not permitted";
	case ERR_VERSION:
		return "unknown version";
	case ERR_MORE:
		return "more bytes needed";
	case ERR_OVERFLOW:
		return "out of range";
	case ERR_BUDGET:
		return "budget spent";
	case ERR_TYPE:
		return "wrong type";
	default:
		return "unknown error";
	}
}

/* A pipe that nobody empties must not keep alive who has to go. */
static void __attribute__((format(printf, 1, 0))) last_line(const char *format, va_list args)
{
	char line[1024];
	struct pollfd fd = {STDERR_FILENO, POLLOUT, 0};
	vsnprintf(line, sizeof(line), format, args);
	if (poll(&fd, 1, LAST_LINE_MS) == 1) {
		dprintf(STDERR_FILENO, "fatal: %s\n", line);
	}
}

void fatal(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	last_line(format, args);
	va_end(args);
	abort();
}

void fatal_exit(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	last_line(format, args);
	va_end(args);
	_exit(1);
}
