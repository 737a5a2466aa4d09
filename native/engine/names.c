#include "engine/names.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

char iso__names[ISO__NAMES][ISO__METHOD_NAME];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of who adds; innermost */
static _Atomic int count;

static const char *
search(const char *name, int from, int to)
{
    for (int i = from; i < to; i++) {
        if (strcmp(iso__names[i], name) == 0)
            return iso__names[i];
    }
    return NULL;
}

static const char *
add(const char *name, int searched)
{
    size_t size = strlen(name) + 1;
    pthread_mutex_lock(&lock);
    int n = atomic_load_explicit(&count, memory_order_relaxed);
    const char *kept = search(name, searched, n);
    if (kept == NULL && n < ISO__NAMES && size <= ISO__METHOD_NAME) {
        kept = memcpy(iso__names[n], name, size);
        atomic_store_explicit(&count, n + 1, memory_order_release);
    }
    pthread_mutex_unlock(&lock);
    return kept;
}

const char *
iso__name_keep(const char *name)
{
    int n = atomic_load_explicit(&count, memory_order_acquire);
    const char *kept = search(name, 0, n);
    return kept != NULL || n == ISO__NAMES ? kept : add(name, n);
}
