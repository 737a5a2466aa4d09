#define _GNU_SOURCE
#include "engine/barrier.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

bool iso__barrier_fenced = true;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
register_membarrier(void)
{
    iso__barrier_fenced = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0;
}

void
iso__barrier_setup(void)
{
    pthread_once(&once, register_membarrier);
}

void
iso__barrier_everywhere(void)
{
    iso__barrier_full();
    if (!iso__barrier_fenced)
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}
