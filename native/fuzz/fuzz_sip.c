/* fuzz_sip.c: any octets through index, lookup, body, render, stream and the text helpers.
 *
 * A libFuzzer target; tests/test_sip_mutate.c drives the same function with its own mutations, so it
 * needs no clang. It aborts where something that must always hold does not. The octets are copied to a
 * block of exactly their size, so that a sanitizer sees every read outside. The whole of index.c is
 * compiled here once more with the portable masks: both variants must agree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isoexec.h"
#include "sip/rows.h"

#define iso_msg_start_line portable_start_line
#define iso_msg_index portable_index
#define iso__index_rows portable_index_rows
#define iso__rows_scan portable_rows_scan
#ifndef ISO_SCAN_PORTABLE
#define ISO_SCAN_PORTABLE
#endif
int portable_rows_scan(const char *data, uint32_t n, uint32_t *at, iso_row *rows, uint32_t max, uint32_t *count_out);
int portable_index_rows(const iso_msg *msg, iso_index *index);
int portable_index(const iso_msg *msg, iso_index *index);
int portable_start_line(const iso_msg *msg, iso_index *index);
#include "sip/index.c"
#undef iso_msg_start_line
#undef iso_msg_index
#undef iso__index_rows
#undef iso__rows_scan

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "fuzz_sip: line %d: %s\n", __LINE__, #condition);                                          \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static int
inside(const iso_msg *msg, iso_str text)
{
    return !text.p || (text.p >= msg->data && text.p + text.n <= msg->data + msg->length);
}

static void
check_index(const iso_msg *msg, const iso_index *index)
{
    uint32_t n = msg->length;
    MUST(index->type == ISO_TYPE_REQUEST || index->type == ISO_TYPE_REPLY);
    MUST(index->first_n > 0 && index->start + index->first_n < index->second);
    MUST(index->second_n > 0 && index->second + index->second_n <= index->third);
    MUST(index->third + index->third_n < index->headers && index->headers <= index->body && index->body <= n);
    MUST(msg->data[index->headers - 1] == '\n');
    MUST(!index->complete || msg->data[index->body - 1] == '\n');
    MUST(index->complete || index->body == n);
    MUST(index->row_count <= ISO_INDEX_ROWS && (!index->overflow || index->row_count == ISO_INDEX_ROWS));
    uint32_t before = index->headers;
    for (int i = 0; i < index->row_count; i++) {
        const iso_row *row = &index->rows[i];
        MUST(row->name == before && row->name_length > 0);
        MUST(row->name + row->name_length < row->value && row->value <= row->end && row->end <= n);
        before = i + 1 < index->row_count ? index->rows[i + 1].name : before;
        MUST(i + 1 == index->row_count || (row->end < before && msg->data[before - 1] == '\n'));
    }
}

static void
check_variants(const iso_msg *msg, const iso_index *index, int result)
{
    static iso_index other;
    memset(&other, 0, sizeof(other));
    MUST(portable_index(msg, &other) == result);
    if (result == 0) {
        MUST(memcmp(&other, index, offsetof(iso_index, rows)) == 0);
        MUST(memcmp(other.rows, index->rows, index->row_count * sizeof(iso_row)) == 0);
    }
}

/* Every row is found by its own name, and walking gives each row once. */
static void
check_lookup(const iso_msg *msg, const iso_index *index)
{
    iso_str name, value, found_name, found, element;
    uint32_t cursor = 0;
    unsigned count = 0;
    char *copy = malloc(msg->length);
    MUST(copy);
    while (iso_msg_header(msg, index, (iso_str){NULL, 0}, &cursor, &name, &value)) {
        uint32_t again = 0;
        MUST(inside(msg, name) && inside(msg, value) && name.n > 0);
        MUST(++count <= msg->length);
        MUST(iso_msg_header(msg, index, name, &again, &found_name, &found));
        MUST(found_name.p <= name.p);
        MUST(iso_unfold(value, copy) <= value.n);
        iso_str list = value;
        while (iso_list_next(&list, &element))
            MUST(element.n > 0 && inside(msg, element));
        iso_parameter(value, name, &element);
    }
    MUST(count >= index->row_count);
    MUST(!iso_msg_header(msg, index, (iso_str){NULL, 0}, &cursor, &name, &value));
    free(copy);
}

static char *
render(const iso_msg *msg, const iso_edits *edits, size_t *n_out)
{
    int64_t n = iso_msg_render(msg, edits, NULL, 0);
    MUST(n > 0);
    char *to = malloc((size_t)n);
    MUST(to && iso_msg_render(msg, edits, to, (size_t)n) == n);
    *n_out = (size_t)n;
    return to;
}

/* A message that was rendered is a message; rendered again, it does not change. */
static void
check_render(const iso_msg *msg, const iso_index *index)
{
    size_t n, again_n;
    iso_msg out;
    iso_index out_index;
    iso_str body;
    char *to = render(msg, NULL, &n);
    MUST(iso_msg_init(&out, to, n) == 0 && iso_msg_index(&out, &out_index) == 0 && out_index.complete);
    if (index->complete && iso_msg_body(msg, index, &body) == 0) {
        MUST(n == index->body - index->start + body.n);
        MUST(memcmp(to, msg->data + index->start, n) == 0);
    }
    char *again = render(&out, NULL, &again_n);
    MUST(again_n == n && memcmp(again, to, n) == 0);
    free(again);
    free(to);
}

static void
check_edits(const iso_msg *msg, const iso_index *index)
{
    iso_edits edits = {0};
    iso_str value, name = {"Supported", 9}, body = {"abc", 3}, type = {"text/plain", 10}, none = {NULL, 0};
    uint32_t cursor = 0;
    size_t n;
    iso_msg out;
    iso_index out_index;
    int failed = iso__edits_add(&edits, ISO_EDIT_REMOVE_HEADER, (iso_str){"Via", 3}, none);
    failed |= iso__edits_add(&edits, ISO_EDIT_INSERT_HEADER, (iso_str){"Via", 3}, (iso_str){"one", 3});
    failed |= iso__edits_add(&edits, ISO_EDIT_REPLACE_HEADER, name, (iso_str){"timer", 5});
    failed |= iso__edits_add(&edits, ISO_EDIT_SET_RURI, none, (iso_str){"sip:new@example.com", 19});
    failed |= iso__edits_add(&edits, ISO_EDIT_SET_BODY, type, body);
    MUST(!failed);
    char *to = render(msg, &edits, &n);
    MUST(iso_msg_init(&out, to, n) == 0 && iso_msg_index(&out, &out_index) == 0);
    MUST(iso_msg_body(&out, &out_index, &body) == 0 && body.n == 3 && memcmp(body.p, "abc", 3) == 0);
    MUST(body.p + 3 == to + n);
    MUST(out_index.type == index->type && (out_index.type == ISO_TYPE_REPLY || out_index.second_n == 19));
    MUST(iso_msg_header(&out, &out_index, name, &cursor, NULL, &value) && value.n == 5);
    MUST(!iso_msg_header(&out, &out_index, name, &cursor, NULL, &value));
    cursor = 0;
    MUST(iso_msg_header(&out, &out_index, (iso_str){"v", 1}, &cursor, NULL, &value) && cursor == 1 && value.n == 3);
    free(to);
    iso__edits_fini(&edits);
}

static void
check_stream(const char *data, size_t size)
{
    size_t at = 0, skip;
    int64_t n;
    while ((n = iso_stream_next(data + at, size - at, 65536, &skip)) > 0) {
        iso_msg msg;
        iso_index index;
        iso_str body;
        MUST(skip + (size_t)n <= size - at);
        MUST(iso_msg_init(&msg, data + at + skip, (size_t)n) == 0 && iso_msg_index(&msg, &index) == 0);
        MUST(index.complete && iso_msg_body(&msg, &index, &body) == 0 && body.p + body.n == data + at + skip + n);
        at += skip + (size_t)n;
    }
    MUST(skip <= size - at);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static iso_index index;
    iso_msg msg;
    iso_uri uri;
    iso_address address;
    char *copy = malloc(size + (size == 0));
    MUST(copy);
    if (size > 0)
        memcpy(copy, data, size);
    check_stream(copy, size);
    iso_address_parse(&address, copy, size, 0);
    if (iso_msg_init(&msg, copy, size) == 0) {
        memset(&index, 0, sizeof(index));
        int result = iso_msg_index(&msg, &index);
        check_variants(&msg, &index, result);
        if (result == 0) {
            check_index(&msg, &index);
            check_lookup(&msg, &index);
            check_render(&msg, &index);
            check_edits(&msg, &index);
            iso_uri_parse((iso_str){copy + index.second, index.second_n}, &uri);
        }
    }
    free(copy);
    return 0;
}
