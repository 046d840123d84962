/* Random command lines over a few keys: what nobody thought of writing into a file of cases. */
#ifndef TESTS_DIFF_RANDOM_H
#define TESTS_DIFF_RANDOM_H

#include "base/arena.h"
#include "base/prng.h"

/* A line for the case language (tests/diff/diff.c), words quoted; NUL-terminated, in the arena. */
const char *random_line(struct prng *prng, struct arena *arena);

#endif /* TESTS_DIFF_RANDOM_H */
