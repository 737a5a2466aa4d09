/* directory.h: which worker has the transaction of a key, or the connection to a peer.
 *
 * Workers share nothing on the path of most messages; this is for those that the kernel brought to another worker than
 * what they belong to: a CANCEL or an ACK from another port or connection, a request to a peer whose connection
 * another worker accepted. Lines of eight atomic words, each most of a key and a worker's number. An entry that finds
 * its line full takes the place of another one: what is found is a hint, and who is asked looks for itself. */
#ifndef PROXY_DIRECTORY_H
#define PROXY_DIRECTORY_H

#include <stddef.h>
#include <stdint.h>

typedef struct proxy_directory proxy_directory;

/* For about `entries` keys. NULL: out of memory. */
proxy_directory *proxy_directory_new(size_t entries);
void proxy_directory_free(proxy_directory *directory);
/* From any thread. `worker`: 1 to 255. A directory that is NULL is empty. */
void proxy_directory_add(proxy_directory *directory, uint64_t key, int worker);
void proxy_directory_remove(proxy_directory *directory, uint64_t key, int worker);
/* The worker, or 0. */
int proxy_directory_find(const proxy_directory *directory, uint64_t key);

#endif
