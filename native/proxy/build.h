/* build.h: the messages that leave, written from the ones received.
 *
 * A forwarded message is the received one with patches: spans that are cut and texts that are put there. What no
 * patch touches leaves octet for octet. Edits of a handler that touch header rows or the body are applied by
 * iso_msg_render into worker memory first, and the patches go over its result. */
#ifndef PROXY_BUILD_H
#define PROXY_BUILD_H

#include "text.h"
#include "view.h"

#define PROXY_PATCHES 24

typedef struct proxy_patch {
    uint32_t at, cut; /* offset in the message, octets left out there */
    iso_str text;     /* put there; borrowed until applied */
} proxy_patch;

typedef struct proxy_patches {
    proxy_patch items[PROXY_PATCHES];
    int count;
    size_t used;
    char text[1024]; /* for texts that are made on the way: proxy_patches_writer */
} proxy_patches;

/* An empty list: its texts need no clearing. */
static inline void
proxy_patches_start(proxy_patches *patches)
{
    patches->count = 0;
    patches->used = 0;
}

/* At the same offset, patches apply in the order they were added. More than PROXY_PATCHES are ISO_ESPACE. */
int proxy_patch_add(proxy_patches *patches, uint32_t at, uint32_t cut, iso_str text);
/* Room inside `patches` for a text of at most `size`; ends with proxy_patches_end, which returns it. */
proxy_writer proxy_patches_writer(proxy_patches *patches, size_t size);
iso_str proxy_patches_end(proxy_patches *patches, const proxy_writer *writer);
/* Writes `view` from its start line to its body with the patches applied. to->n > to->size: it did not fit. */
void proxy_patches_apply(const proxy_patches *patches, const proxy_view *view, proxy_writer *to);

/* "received" and "rport" in the topmost Via of a received request (RFC 3261 18.2.1, RFC 3581 4). */
void proxy_patch_received(proxy_patches *patches, const proxy_view *view);
/* Max-Forwards one less, or 70 put in (RFC 3261 16.6 step 3). */
void proxy_patch_hops(proxy_patches *patches, const proxy_view *view);
/* Takes the topmost Via away (RFC 3261 16.7 step 3). */
void proxy_patch_pop_via(proxy_patches *patches, const proxy_view *view);
/* Takes the first Route elements away, one or two. */
void proxy_patch_pop_routes(proxy_patches *patches, const proxy_view *view, int count);
/* The offset of the first octet of row `row`, or of the first octet after the last row if there is no such. */
uint32_t proxy_row_start(const proxy_view *view, int32_t row);

/* A reply to a request (RFC 3261 8.2.6). `to_tag` is added to a To without one, n == 0: none; `rows`: more header rows,
 * each with its line end. */
void proxy_build_reply(proxy_writer *to, const proxy_view *request, int code, iso_str reason, iso_str to_tag,
                       iso_str server, iso_str rows, iso_str body);
/* The reason phrase of a code (RFC 3261 21), never absent. */
iso_str proxy_reason(int code);

#endif
