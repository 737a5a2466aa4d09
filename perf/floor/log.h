/* log.h: the log of a measurement. Lines are made and handed over; where a host writes them is its affair. */
#ifndef FLOOR_LOG_H
#define FLOOR_LOG_H

static inline void
floor_drop_log(void *user, int level, int rank, const char *text)
{
    (void)user;
    (void)level;
    (void)rank;
    (void)text;
}

#endif
