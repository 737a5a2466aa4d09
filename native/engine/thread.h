/* thread.h: how the engine starts a thread of its own. */
#ifndef ISO_THREAD_H
#define ISO_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* Starts a thread with a stack of `stack` octets and every signal blocked but those of faults: the host's signals go
 * to the host's threads. 0, or what pthread_create says (an errno value). */
int iso__thread_start(pthread_t *out, size_t stack, void *(*run)(void *argument), void *argument);

#endif
