/* Ordered replay, the main judge: the committed log says in which order requests
 * took effect (index, then ordinal in the batch, in each once record). In that order they are carried out on
 * a small model (model.h), by readers of the log's bytes that share no code with src/ (ledger.h). Then
 *
 *   - each answer kept in the log, and each that a client was told, is the model's;
 *   - a batch changes the rows its requests say, and no others;
 *   - what was acknowledged is in the log, once; what failed for certain is not;
 *   - the order agrees with time: what was answered before another began comes first;
 *   - each refusal that a buyer was told was right at one place, and once it is kept under a request's id
 *     nobody is told another;
 *   - each read (the log does not know it) gives the model's value at one place between those;
 *   - the rows read back at the end and the sums are the model's;
 *   - each node's hash over its whole database is that of the rows the log makes. */
#ifndef TESTS_CHECK_REPLAY_H
#define TESTS_CHECK_REPLAY_H

#include "tests/check/history.h"

/* log has the entries and hashes; whole the operations, ids joined (once_merge). 0 or ERR_INVALID. */
int replay_check(const struct history *log, const struct history *whole, struct err *err);

#endif /* TESTS_CHECK_REPLAY_H */
