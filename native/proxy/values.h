/* values.h: named texts that scripts keep: $avp of a transaction, $var of a worker. One thread. */
#ifndef PROXY_VALUES_H
#define PROXY_VALUES_H

#include "isoexec.h"

#define PROXY_MOST_VALUES 256 /* of one list */

typedef struct proxy_value proxy_value;
typedef struct proxy_values {
    proxy_value *first;
    int count;
} proxy_values;

/* Absent if there is none of the name. Borrowed until the next change. */
iso_str proxy_values_get(const proxy_values *values, iso_str name);
/* Copies both. 0, ISO_ENOMEM, or ISO_ESPACE: the list is full. */
int proxy_values_set(proxy_values *values, iso_str name, iso_str text);
void proxy_values_clear(proxy_values *values);

#endif
