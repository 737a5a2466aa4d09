/* lookup.c: header rows by name, compact and long forms alike (RFC 3261 7.3.3). */
#include "isoexec_sip.h"
#include "sip/rows.h"
#include "sip/text.h"
#include "sip/wanted.h"

/* ---- compact forms ---- */

/* IANA registry "SIP Header Fields", column Compact; by letter. */
static const iso_str long_names[26] = {
    ['a' - 'a'] = ISO__TEXT_OF("Accept-Contact"),
    ['b' - 'a'] = ISO__TEXT_OF("Referred-By"),
    ['c' - 'a'] = ISO__TEXT_OF("Content-Type"),
    ['d' - 'a'] = ISO__TEXT_OF("Request-Disposition"),
    ['e' - 'a'] = ISO__TEXT_OF("Content-Encoding"),
    ['f' - 'a'] = ISO__TEXT_OF("From"),
    ['i' - 'a'] = ISO__TEXT_OF("Call-ID"),
    ['j' - 'a'] = ISO__TEXT_OF("Reject-Contact"),
    ['k' - 'a'] = ISO__TEXT_OF("Supported"),
    ['l' - 'a'] = ISO__TEXT_OF("Content-Length"),
    ['m' - 'a'] = ISO__TEXT_OF("Contact"),
    ['n' - 'a'] = ISO__TEXT_OF("Identity-Info"),
    ['o' - 'a'] = ISO__TEXT_OF("Event"),
    ['r' - 'a'] = ISO__TEXT_OF("Refer-To"),
    ['s' - 'a'] = ISO__TEXT_OF("Subject"),
    ['t' - 'a'] = ISO__TEXT_OF("To"),
    ['u' - 'a'] = ISO__TEXT_OF("Allow-Events"),
    ['v' - 'a'] = ISO__TEXT_OF("Via"),
    ['x' - 'a'] = ISO__TEXT_OF("Session-Expires"),
    ['y' - 'a'] = ISO__TEXT_OF("Identity"),
};

/* From the length and two letters of a long name to its compact one. No two names share a slot; the
 * compiler warns of a second initialiser if one ever does. */
#define SLOT(length, first, second)                                                                                    \
    (((unsigned)(length) * 3 + ((unsigned char)(first) | 0x20u) + ((unsigned char)(second) | 0x20u)) & 63)

static const char letters[64] = {
    [SLOT(14, 'a', 'c')] = 'a', [SLOT(11, 'r', 'e')] = 'b', [SLOT(12, 'c', 'o')] = 'c', [SLOT(19, 'r', 'e')] = 'd',
    [SLOT(16, 'c', 'o')] = 'e', [SLOT(4, 'f', 'r')] = 'f',  [SLOT(7, 'c', 'a')] = 'i',  [SLOT(14, 'r', 'e')] = 'j',
    [SLOT(9, 's', 'u')] = 'k',  [SLOT(14, 'c', 'o')] = 'l', [SLOT(7, 'c', 'o')] = 'm',  [SLOT(13, 'i', 'd')] = 'n',
    [SLOT(5, 'e', 'v')] = 'o',  [SLOT(8, 'r', 'e')] = 'r',  [SLOT(7, 's', 'u')] = 's',  [SLOT(2, 't', 'o')] = 't',
    [SLOT(12, 'a', 'l')] = 'u', [SLOT(3, 'v', 'i')] = 'v',  [SLOT(15, 's', 'e')] = 'x', [SLOT(8, 'i', 'd')] = 'y',
};

iso_str
iso__compact_long(char letter)
{
    unsigned place = ((unsigned char)letter | 0x20u) - 'a';
    return place < 26 ? long_names[place] : (iso_str){NULL, 0};
}

void
iso__wanted_init(iso__wanted *wanted, iso_str name)
{
    char letter = 0;
    if (name.n == 1) {
        iso_str full = iso__compact_long(name.p[0]);
        if (full.p) {
            letter = (char)(name.p[0] | 0x20);
            name = full;
        }
    } else if (name.n > 1) {
        letter = letters[SLOT(name.n, name.p[0], name.p[1])];
    }
    *wanted = (iso__wanted){name, letter ? 1 : name.n, letter};
}

int
iso__wanted_is_compact(const iso__wanted *wanted)
{
    return iso__same_text(wanted->name, long_names[wanted->letter - 'a']);
}

/* ---- rows ---- */

static int
answer(const iso_msg *msg, const iso_row *row, iso_str *row_name_out, iso_str *value_out)
{
    if (row_name_out)
        *row_name_out = (iso_str){msg->data + row->name, row->name_length};
    if (value_out)
        *value_out = iso__trim((iso_str){msg->data + row->value, row->end - row->value});
    return 1;
}

/* The cursor is the number of the next row up to ISO_INDEX_ROWS; from there on it is the offset of the
 * next row, which is always greater, and CURSOR_END after the last. */
#define CURSOR_END UINT32_MAX

static __attribute__((noinline)) int
find_beyond(const iso_msg *msg, const iso_index *index, const iso__wanted *wanted, uint32_t *cursor, iso_row *row)
{
    uint32_t at = *cursor > ISO_INDEX_ROWS ? *cursor : index->overflow;
    while (at != CURSOR_END) {
        uint32_t count;
        int end = iso__rows_scan(msg->data, msg->length, &at, row, 1, &count);
        if (end != ISO__ROWS_MORE)
            at = CURSOR_END;
        if (end < 0 || count == 0)
            break;
        if (wanted->name.n == 0 || iso__wanted_is(wanted, (iso_str){msg->data + row->name, row->name_length})) {
            *cursor = at;
            return 1;
        }
    }
    *cursor = CURSOR_END;
    return 0;
}

int
iso_msg_header(const iso_msg *msg, const iso_index *index, iso_str name, uint32_t *cursor, iso_str *row_name_out,
               iso_str *value_out)
{
    iso__wanted wanted;
    uint32_t at = *cursor, count = index->row_count;
    iso__wanted_init(&wanted, name);
    while (at < count && name.n > 0 &&
           !iso__wanted_is(&wanted, (iso_str){msg->data + index->rows[at].name, index->rows[at].name_length}))
        at++;
    if (at < count) {
        *cursor = at + 1;
        return answer(msg, &index->rows[at], row_name_out, value_out);
    }
    if (index->overflow == 0) {
        *cursor = count;
        return 0;
    }
    iso_row row;
    return find_beyond(msg, index, &wanted, cursor, &row) ? answer(msg, &row, row_name_out, value_out) : 0;
}
