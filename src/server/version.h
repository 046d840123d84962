/* What a node says it is. */
#ifndef SERVER_VERSION_H
#define SERVER_VERSION_H

#define VERSION_TALLY "0.1.0"
/* The Redis whose behaviour tests/diff compares with; tools look at it. */
#define VERSION_REDIS "7.0.15"

#endif /* SERVER_VERSION_H */
