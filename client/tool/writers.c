#include "client/tool/writers.h"

#include <stdio.h>
#include <string.h>

#define WRITE_MS 20000
/* One write a writer every so often: the disk must not fill during a long run. */
#define WRITE_EVERY_MS 2

static size_t writer_key(uint64_t writer, uint64_t seq, char key[64])
{
	return (size_t)snprintf(key, 64, "writer:%02llu:%010llu", (unsigned long long)writer,
				(unsigned long long)seq);
}

static void writer_cb(struct tally_call *call)
{
	struct writer *writer = call->data;
	struct writers *writers = writer->writers;
	if (tally_call_outcome(call) == TALLY_DONE) {
		writers->acknowledged++;
		writer->seq++;
		writers->answered(writers->owner, writer->started_us, tally_call_attempts(call));
	} else {
		writers->unanswered++;
	}
	env_timer_start(&writer->timer, WRITE_EVERY_MS);
}

static void writer_next(struct env_timer *timer)
{
	struct writer *writer = list_entry(timer, struct writer, timer);
	struct writers *writers = writer->writers;
	char key[64];
	if (writers->over || writers->bench->stop) {
		writers->running--;
		return;
	}
	size_t len = writer_key(writer->at, writer->seq, key);
	writer->started_us = env_now_us(writers->bench->env);
	tally_set_start(writers->bench->tally, &writer->call, key, len, key, len, WRITE_MS, writer_cb);
}

void writers_start(struct writers *writers)
{
	for (size_t i = 0; i < WRITERS; i++) {
		struct writer *writer = &writers->list[i];
		*writer = (struct writer){.writers = writers, .at = i, .call = {.data = writer}};
		env_timer_init(writers->bench->env, &writer->timer, writer_next);
		writers->running++;
		env_timer_start(&writer->timer, 0);
	}
}

bool writers_are_over(void *writers)
{
	return ((struct writers *)writers)->running == 0;
}

/* ---- reading back ---- */

static void reader_cb(struct tally_call *call);

static void reader_next(struct writers *writers, struct load_slot *slot)
{
	while (writers->read_writer < WRITERS &&
	       writers->read_seq == writers->list[writers->read_writer].seq) {
		writers->read_writer++;
		writers->read_seq = 0;
	}
	if (writers->read_writer == WRITERS || writers->bench->stop) {
		writers->reading--;
		return;
	}
	size_t len = writer_key(writers->read_writer, writers->read_seq++, slot->text[0]);
	tally_get_start(writers->bench->tally, &slot->call, slot->text[0], len, WRITE_MS, reader_cb);
}

static void reader_cb(struct tally_call *call)
{
	struct load_slot *slot = call->data;
	struct writers *writers = slot->owner;
	size_t len = 0;
	const char *text = tally_value_text(tally_call_value(call), &len);
	bool there =
		tally_call_outcome(call) == TALLY_DONE && text != NULL && strcmp(text, slot->text[0]) == 0;
	writers->found += there;
	writers->lost += !there;
	reader_next(writers, slot);
}

static bool writers_have_read(void *owner)
{
	return ((struct writers *)owner)->reading == 0;
}

void writers_read_back(struct writers *writers)
{
	for (size_t i = 0; i < WRITERS_READERS; i++) {
		writers->readers[i].owner = writers;
		writers->readers[i].call.data = &writers->readers[i];
		writers->reading++;
		reader_next(writers, &writers->readers[i]);
	}
	bench_progress(writers->bench, "reading back %llu writes", (unsigned long long)writers->acknowledged);
	bench_wait(writers->bench, writers_have_read, writers);
	bench_progress_end(writers->bench);
}
