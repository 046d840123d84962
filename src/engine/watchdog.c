#include "engine/watchdog.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_BYTES 640

struct watchdog {
	struct env_alarm alarm; /* first: rang_cb finds the rest */
	struct env *env;
	struct log *log;
	const struct script_identity *running; /* written outside of a set alarm, or while it is eased */
	bool queue;                            /* the alarm is set for all of an EXEC */
	struct refused refused;                /* the loop's, and never changed; once it rings, the alarm's */
	char dir[PATH_BYTES], path[PATH_BYTES], fresh[PATH_BYTES], damaged[PATH_BYTES];
};

/* ---- the file ---- */

static int write_fresh(struct watchdog *w, struct slice bytes)
{
	struct env_file *file = NULL;
	int rc = env_file_open(w->env, w->fresh, ENV_FILE_WRITE | ENV_FILE_CREATE, &file);
	if (rc != 0) {
		return rc;
	}
	if ((rc = env_file_truncate(file, 0)) == 0 &&
	    (rc = env_file_write(file, 0, bytes.data, bytes.len)) == 0) {
		rc = env_file_sync(file);
	}
	env_file_close(file);
	return rc;
}

/* It is whole or as before, whatever happens meanwhile. */
static int write_refused(struct watchdog *w)
{
	struct buf bytes;
	buf_init(&bytes, REFUSED_BYTES);
	refused_encode(&w->refused, &bytes);
	int rc = write_fresh(w, buf_slice(&bytes));
	if (rc == 0) {
		rc = env_rename(w->env, w->fresh, w->path);
	}
	buf_fini(&bytes);
	return rc != 0 ? rc : env_dir_sync(w->env, w->dir);
}

static int read_bytes(struct watchdog *w, uint8_t *bytes, size_t len, size_t *got)
{
	struct env_file *file = NULL;
	int rc = env_file_open(w->env, w->path, ENV_FILE_READ, &file);
	if (rc == 0) {
		rc = env_file_read(file, 0, bytes, len, got);
		env_file_close(file);
	}
	return rc;
}

static int set_aside(struct watchdog *w, struct log *log)
{
	int rc = env_rename(w->env, w->path, w->damaged);
	if (rc == 0) {
		rc = env_dir_sync(w->env, w->dir);
	}
	if (rc == 0) {
		log_event(log, LOG_WARN, "refused_damaged",
			  "file=%s kept_as=%s reason=\"it cannot be read; no script is refused\"", w->path,
			  w->damaged);
	}
	return rc;
}

static int read_refused(struct watchdog *w, struct log *log, struct err *err)
{
	uint8_t bytes[REFUSED_BYTES + 1]; /* one more: what is longer is damaged */
	size_t got = 0;
	int rc = read_bytes(w, bytes, sizeof bytes, &got);
	if (rc == ERR_NOT_FOUND) {
		return 0; /* as at most nodes */
	}
	if (rc != 0) {
		return err_set(err, rc, "%s: cannot be read: %s", w->path, err_name(rc));
	}
	if (refused_decode(slice_of(bytes, got), &w->refused) != 0) {
		rc = set_aside(w, log);
		return rc == 0 ? 0
			       : err_set(err, rc, "%s: is damaged and cannot be set aside: %s", w->path,
					 err_name(rc));
	}
	for (size_t i = 0; i < w->refused.count; i++) {
		const struct refused_script *script = &w->refused.scripts[i];
		log_event(log, LOG_WARN, "script_refused", "%s=%s hash=%s", script_kind_name(script->kind),
			  script->name, script->hash);
	}
	return 0;
}

/* ---- the end ---- */

/* On the alarm's thread. The loop is inside the call, or held at its end: nobody else moves anything here. */
static void rang_cb(struct env_alarm *alarm)
{
	struct watchdog *w = (struct watchdog *)alarm;
	const struct script_identity *script = w->running;
	assert(script != NULL);
	refused_add(&w->refused, script);
	int rc = write_refused(w);
	const struct refused_script *added = &w->refused.scripts[w->refused.count - 1];
	fatal_exit(
		"a call of %s %s (hash %s) used more than %llu ms of processor time and did not come back; "
		"%s%s: %s; push a changed source",
		script_kind_name(script->kind), added->name, script->hash,
		(unsigned long long)(alarm->limit_us / 1000),
		rc == 0 ? "from its next start on this node refuses it, as is written in "
			: "it could not be written to ",
		w->path, rc == 0 ? "start the node again" : err_name(rc));
}

/* ---- around a call ---- */

static void begin(void *owner, const struct script_identity *running)
{
	struct watchdog *w = owner;
	assert(w->running == NULL);
	w->running = running;
	if (w->queue) {
		env_alarm_press(&w->alarm);
	} else {
		env_alarm_set(&w->alarm);
	}
}

static void end(void *owner)
{
	struct watchdog *w = owner;
	const struct script_identity *script = w->running;
	assert(script != NULL);
	bool late = env_alarm_asks(&w->alarm);
	if (w->queue) {
		env_alarm_ease(&w->alarm);
	} else {
		env_alarm_clear(&w->alarm);
	}
	w->running = NULL;
	if (late) {
		log_event(w->log, LOG_WARN, "script_late", "%s=%.*s hash=%s%s", script_kind_name(script->kind),
			  (int)script->name.len, (const char *)script->name.data, script->hash,
			  w->queue ? " in=EXEC" : "");
	}
}

/* ---- around a queue ---- */

void watchdog_queue_begin(struct watchdog *w)
{
	if (w == NULL) {
		return;
	}
	assert(!w->queue && w->running == NULL);
	w->queue = true;
	env_alarm_set(&w->alarm);
	env_alarm_ease(&w->alarm);
}

bool watchdog_queue_late(const struct watchdog *w)
{
	assert(w == NULL || w->queue);
	return w != NULL && env_alarm_asks(&w->alarm);
}

void watchdog_queue_end(struct watchdog *w)
{
	if (w == NULL) {
		return;
	}
	assert(w->queue && w->running == NULL);
	env_alarm_clear(&w->alarm);
	w->queue = false;
}

struct script_watch watchdog_watch(struct watchdog *w)
{
	return (struct script_watch){&w->refused, &w->alarm.word, ENV_ALARM_ASKED, begin, end, w};
}

/* ---- life ---- */

int watchdog_open(struct env *env, struct log *log, const char *dir, uint64_t limit_ms, struct watchdog **out,
		  struct err *err)
{
	assert(limit_ms > 0);
	struct watchdog *w = calloc(1, sizeof *w);
	if (w == NULL) {
		fatal("out of memory: a watchdog");
	}
	w->env = env;
	w->log = log;
	w->alarm = (struct env_alarm){.env = env, .limit_us = limit_ms * 1000, .rang = rang_cb};
	int len = snprintf(w->damaged, PATH_BYTES, "%s/refused.damaged", dir);
	assert(len > 0 && len < PATH_BYTES); /* identity.c has looked */
	snprintf(w->dir, PATH_BYTES, "%s", dir);
	snprintf(w->path, PATH_BYTES, "%s/refused", dir);
	snprintf(w->fresh, PATH_BYTES, "%s/refused.new", dir);
	int rc = read_refused(w, log, err);
	if (rc != 0) {
		free(w);
		return rc;
	}
	env_alarm_open(&w->alarm);
	*out = w;
	return 0;
}

void watchdog_close(struct watchdog *w)
{
	if (w == NULL) {
		return;
	}
	assert(w->running == NULL);
	env_alarm_close(&w->alarm);
	free(w);
}
