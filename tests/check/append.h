/* Strict serializability of list-append transactions (Elle; Kingsbury and
 * Alvaro, 2020): each list tells the order of its appends, so dependencies
 * follow from prefixes alone. Cycles are anomalies; time gives edges too. */
#ifndef TESTS_CHECK_APPEND_H
#define TESTS_CHECK_APPEND_H

#include "tests/check/history.h"

enum append_anomaly {
	APPEND_NONE,
	APPEND_DUPLICATE,    /* a value twice in a list, or appended twice */
	APPEND_INCOMPATIBLE, /* two reads of a list of which neither is a prefix of the other */
	APPEND_G1A,          /* a read of something that certainly never happened */
	APPEND_G1B,          /* a read from the middle of a transaction */
	APPEND_INTERNAL,     /* a transaction does not see its own appends */
	APPEND_LOST,         /* acknowledged, and not in the last list although later ones are */
	APPEND_G0,           /* cycle of writes */
	APPEND_G1C,          /* cycle of writes and reads */
	APPEND_G_SINGLE,     /* cycle with one anti-dependency */
	APPEND_G2,           /* cycle with several */
	APPEND_REALTIME,     /* a cycle only because of time: serializable, not strictly */
};
const char *append_anomaly_name(enum append_anomaly anomaly);

/* The first anomaly found, or NONE. err tells transactions and keys. Linear in the history's size. */
enum append_anomaly append_check(const struct history *history, struct err *err);

#endif /* TESTS_CHECK_APPEND_H */
