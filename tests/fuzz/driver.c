/* Runs a fuzz body without libFuzzer: corpus files, their truncations and bit
 * flips, and seeded mutations of them. Prints TAP. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "tests/lib/tap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 65536
#define FILES_MAX 256
#define MUTATIONS 20000

struct input {
	uint8_t *data;
	size_t len;
};

struct corpus {
	struct input inputs[FILES_MAX];
	size_t count;
};

/* The bytes are copied to the end of their own block, so that a sanitizer sees a read past them. */
static void run(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	if (len > 0) {
		memcpy(copy, data, len);
	}
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static void load(struct corpus *corpus, const char *dir)
{
	struct dirent **names;
	int count = scandir(dir, &names, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		char path[1024];
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		FILE *in = names[i]->d_name[0] != '.' ? fopen(path, "rb") : NULL;
		if (in != NULL && corpus->count < FILES_MAX) {
			struct input *input = &corpus->inputs[corpus->count++];
			input->data = malloc(INPUT_MAX);
			input->len = fread(input->data, 1, INPUT_MAX, in);
		}
		if (in != NULL) {
			fclose(in);
		}
		free(names[i]);
	}
	if (count >= 0) {
		free(names);
	}
}

static size_t mutate(struct prng *prng, const struct corpus *corpus, uint8_t *out)
{
	const struct input *base = &corpus->inputs[prng_below(prng, corpus->count)];
	size_t len = base->len;
	memcpy(out, base->data, len);
	for (size_t edits = 1 + prng_below(prng, 6); edits > 0 && len > 0; edits--) {
		size_t at = prng_below(prng, len);
		const struct input *other = &corpus->inputs[prng_below(prng, corpus->count)];
		switch (prng_below(prng, 6)) {
		case 0:
			out[at] ^= (uint8_t)(1u << prng_below(prng, 8));
			break;
		case 1:
			out[at] = (uint8_t)prng_next(prng);
			break;
		case 2:
			out[at] = (uint8_t) "\x00\xff\x7f\x80\r\n$*-019"[prng_below(prng, 12)];
			break;
		case 3:
			len = at;
			break;
		case 4: /* a piece of another input */
			if (other->len > 0 && at + other->len <= INPUT_MAX) {
				memcpy(out + at, other->data, other->len);
				len = at + other->len;
			}
			break;
		default: /* a piece again */
			if (len * 2 < INPUT_MAX) {
				memmove(out + at + 4, out + at, len - at);
				len += 4;
			}
		}
	}
	return len;
}

int main(int argc, char **argv)
{
	struct corpus corpus = {0};
	struct prng prng;
	const char *src = getenv("TALLY_SRC");
	const char *name = strrchr(argv[0], '/');
	char dir[512];
	name = name != NULL ? name + 1 : argv[0];
	name += strncmp(name, "fuzz_", 5) == 0 ? 5 : 0;
	snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s", src != NULL ? src : "..", name);
	load(&corpus, argc > 1 ? argv[1] : dir);
	if (!ok(corpus.count > 0, "%s has a corpus", name)) {
		tap_note("no files in %s", argc > 1 ? argv[1] : dir);
		return tap_done();
	}
	uint8_t *scratch = malloc(INPUT_MAX + 64);
	run(scratch, 0);
	for (size_t i = 0; i < corpus.count; i++) {
		const struct input *input = &corpus.inputs[i];
		size_t step = input->len / 512 + 1;
		for (size_t len = 0; len <= input->len; len += step) {
			run(input->data, len);
		}
		for (size_t bit = 0; bit < input->len * 8; bit += step) {
			memcpy(scratch, input->data, input->len);
			scratch[bit / 8] ^= (uint8_t)(1u << (bit % 8));
			run(scratch, input->len);
		}
	}
	ok(true, "truncations and flipped bits of %zu inputs of %s are survived", corpus.count, name);
	prng_init(&prng, 1);
	for (int i = 0; i < MUTATIONS; i++) {
		run(scratch, mutate(&prng, &corpus, scratch));
	}
	ok(true, "%d seeded mutations are survived", MUTATIONS);
	for (size_t i = 0; i < corpus.count; i++) {
		free(corpus.inputs[i].data);
	}
	free(scratch);
	return tap_done();
}
