/* At what pace the clients of the nemesis ask, in made-up milliseconds. */
#include "tests/lib/tap.h"
#include "tests/nemesis/pace.h"

#define CLIENTS 10
#define ANSWER_MS 4
#define SECONDS 600

struct story {
	struct pace pace;
	struct prng prng;
	uint64_t asks_ms[CLIENTS], answered_ms[CLIENTS];
	unsigned asked, waves, widest;
};

/* How many ask in this millisecond; one of them gets its answers after so many, the others quickly. */
static unsigned tick(struct story *story, uint64_t now, uint64_t slow_ms)
{
	unsigned together = 0;
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (story->answered_ms[i] == now) {
			story->asks_ms[i] = now + pace_wait_ms(&story->pace, &story->prng, now);
		}
		if (story->asks_ms[i] == now) {
			story->answered_ms[i] = now + (i == 0 ? slow_ms : ANSWER_MS);
			together++;
		}
	}
	return together;
}

/* Begins late: uptimes are no small numbers. */
static void run(struct story *story, unsigned rate, uint64_t slow_ms)
{
	uint64_t began = 86400000;
	*story = (struct story){.pace = {.clients = CLIENTS, .rate = rate, .think_ms = 10}};
	prng_init(&story->prng, 5);
	for (unsigned i = 0; i < CLIENTS; i++) {
		story->asks_ms[i] = began + i;
	}
	for (uint64_t now = began; now < began + SECONDS * 1000; now++) {
		unsigned together = tick(story, now, slow_ms);
		story->asked += together;
		story->waves += together > 0;
		story->widest = together > story->widest ? together : story->widest;
	}
}

static unsigned per_s(const struct story *story)
{
	return story->asked / SECONDS;
}

static void bounded(void)
{
	struct story story;
	run(&story, 200, ANSWER_MS);
	ok(per_s(&story) >= 190 && per_s(&story) <= 200, "at most 200 a second are 200, not 2000: %u",
	   per_s(&story));
	ok(story.waves * 9 < story.asked, "they ask together: %u in %u moments", story.asked, story.waves);
	is_int(story.widest, CLIENTS, "all who have their answers");
	run(&story, 200, 75);
	ok(per_s(&story) >= 180 && per_s(&story) < 195,
	   "who waits longer than a wave misses one, and nobody else does: %u", per_s(&story));
}

static void unbounded(void)
{
	struct story story;
	run(&story, 0, ANSWER_MS);
	ok(per_s(&story) > 1000, "without a bound there is a think time of a few ms: %u", per_s(&story));
	run(&story, 4000000, ANSWER_MS);
	ok(per_s(&story) > 1500, "a bound nobody reaches holds nobody up: %u", per_s(&story));
}

int main(void)
{
	bounded();
	unbounded();
	return tap_done();
}
