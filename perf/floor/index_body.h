/* index_body.h: the block walk, once. Included by index.c for each instruction set, with FLOOR_TARGET (its
 * function attribute), FLOOR_MASKS (fills both masks from 64 octets), FLOOR_SEEK and FLOOR_WALK (names) set. */

/* Moves to the next set bit of one of the masks, from w->at on; 0, or -1 at the end of the octets. */
FLOOR_TARGET static inline __attribute__((always_inline)) int
FLOOR_SEEK(struct walk *w, const uint64_t *mask)
{
    uint64_t bits = *mask >> (w->at - w->base);

    while (!bits) {
        w->base += 64;
        if (w->base >= w->length) {
            return -1;
        }
        FLOOR_MASKS(w->data + w->base, &w->lines, &w->colons);
        w->at = w->base;
        bits = *mask;
    }
    w->at += (unsigned)__builtin_ctzll(bits);
    return 0;
}

/* Makes the masks those of the block that holds w->at, when that is the first octet of the next block. */
#define FLOOR_FOLLOW(w)                                                                                                \
    do {                                                                                                               \
        if ((w)->at - (w)->base >= 64 && (w)->at < (w)->length) {                                                      \
            (w)->base += 64;                                                                                           \
            FLOOR_MASKS((w)->data + (w)->base, &(w)->lines, &(w)->colons);                                             \
        }                                                                                                              \
    } while (0)

FLOOR_TARGET int
FLOOR_WALK(const char *data, unsigned length, struct floor_index *index)
{
    struct walk w = {.data = data, .length = length};

    index->row_count = 0;
    index->length = (uint16_t)length;
    FLOOR_MASKS(data, &w.lines, &w.colons);
    if (FLOOR_SEEK(&w, &w.lines) || w.at >= length || start_line(data, w.at, index)) {
        return -1;
    }
    w.at++;
    for (;;) {
        unsigned row = w.at, colon;

        if (row >= length) {
            return -1;
        }
        if (data[row] == '\r' || data[row] == '\n') {
            index->body = (uint16_t)(row + (data[row] == '\r' ? 2 : 1));
            return 0;
        }
        FLOOR_FOLLOW(&w);
        if (FLOOR_SEEK(&w, &w.colons)) {
            return -1;
        }
        colon = w.at;
        do {
            if (FLOOR_SEEK(&w, &w.lines)) {
                return -1;
            }
            w.at++;
            FLOOR_FOLLOW(&w);
        } while (is_fold(data, w.at, length));
        if (index->row_count == FLOOR_ROWS || w.at > length) {
            return -1;
        }
        add_row(data, index, row, colon, w.at - 1);
    }
}

#undef FLOOR_FOLLOW
#undef FLOOR_TARGET
#undef FLOOR_MASKS
#undef FLOOR_SEEK
#undef FLOOR_WALK
