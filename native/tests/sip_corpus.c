/* sip_corpus.c: prints what the C library reads in a message, as one JSON line, for the corpus tests.
 *
 *     sip_corpus FILE [NAME ...]      the message in FILE, and the headers of these names
 *     sip_corpus --stream FILE        {"lengths": [...], "end": ...} of the messages on a stream
 *     sip_corpus --uri TEXT           the parts of a URI
 *
 * Octets that are no ASCII are written as \udcXX where they stand, as Python's surrogateescape with
 * ASCII does; the reader turns them back into octets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isoexec.h"

static void
print_text(const char *key, iso_str text)
{
    printf("\"%s\": ", key);
    if (!text.p) {
        printf("null");
        return;
    }
    putchar('"');
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c >= 0x80)
            printf("\\udc%02x", c);
        else if (c < ' ' || c == 0x7f || c == '"' || c == '\\')
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static iso_str
part(const iso_msg *msg, uint32_t at, uint32_t n, int present)
{
    return present ? (iso_str){msg->data + at, n} : (iso_str){NULL, 0};
}

static iso_str
literal(const char *text)
{
    return (iso_str){text, strlen(text)};
}

static void
print_header(const iso_msg *msg, const iso_index *index, const char *name)
{
    iso_str value, first = {NULL, 0};
    uint32_t cursor = 0;
    int count = 0;
    while (iso_msg_header(msg, index, literal(name), &cursor, NULL, &value)) {
        if (count++ == 0)
            first = value;
    }
    char *copy = malloc(first.n + 1);
    if (!copy)
        exit(2);
    iso_str unfolded = {first.p ? copy : NULL, iso_unfold(first, copy)};
    printf("{");
    print_text("ask", literal(name));
    printf(", \"count\": %d, ", count);
    print_text("alias", first);
    printf(", ");
    print_text("unfolded", unfolded);
    printf("}");
    free(copy);
}

static int
count_rows(const iso_msg *msg, const iso_index *index)
{
    uint32_t cursor = 0;
    int count = 0;
    while (iso_msg_header(msg, index, (iso_str){NULL, 0}, &cursor, NULL, NULL))
        count++;
    return count;
}

static int
print_message(const char *data, size_t n, int name_count, char **names)
{
    iso_msg msg;
    iso_index index;
    iso_str body, length = {NULL, 0};
    uint32_t cursor = 0;
    if (iso_msg_init(&msg, data, n) < 0 || iso_msg_index(&msg, &index) < 0) {
        printf("{\"accept\": false}\n");
        return 0;
    }
    int request = index.type == ISO_TYPE_REQUEST;
    printf("{\"accept\": true, \"type\": \"%s\", ", request ? "SIP_REQUEST" : "SIP_REPLY");
    print_text("method", part(&msg, index.start, index.first_n, request));
    printf(", ");
    print_text("ruri", part(&msg, index.second, index.second_n, request));
    printf(", ");
    print_text("status", part(&msg, index.second, index.second_n, !request));
    printf(", ");
    print_text("reason", part(&msg, index.third, index.third_n, !request));
    printf(", ");
    iso_str version = request ? part(&msg, index.third, index.third_n, 1) : part(&msg, index.start, index.first_n, 1);
    print_text("version", version);
    printf(", ");
    iso_msg_header(&msg, &index, literal("Content-Length"), &cursor, NULL, &length);
    print_text("content_length", length);
    if (iso_msg_body(&msg, &index, &body) == 0)
        printf(", \"body_len\": %zu", body.n);
    else
        printf(", \"body_len\": null");
    printf(", \"after_headers\": %u, \"headers_complete\": %s, \"field_count\": %d, \"headers\": [",
           (unsigned)(msg.length - index.body), index.complete ? "true" : "false", count_rows(&msg, &index));
    for (int i = 0; i < name_count; i++) {
        printf("%s", i ? ", " : "");
        print_header(&msg, &index, names[i]);
    }
    printf("]}\n");
    return 0;
}

static int
print_stream(const char *data, size_t n)
{
    size_t skip = 0, at = 0;
    int64_t length;
    printf("{\"lengths\": [");
    for (int i = 0; (length = iso_stream_next(data + at, n - at, 65536, &skip)) > 0; i++) {
        printf("%s%lld", i ? ", " : "", (long long)length);
        at += skip + (size_t)length;
    }
    printf("], \"end\": \"%s\", \"rest\": %zu}\n", length < 0 ? "error" : "more", n - at - skip);
    return 0;
}

static int
print_uri(const char *text)
{
    iso_uri uri;
    if (iso_uri_parse(literal(text), &uri) < 0) {
        printf("{\"accept\": false}\n");
        return 0;
    }
    printf("{\"accept\": true, ");
    print_text("scheme", uri.scheme);
    printf(", ");
    print_text("user", uri.user);
    printf(", ");
    print_text("password", uri.password);
    printf(", ");
    print_text("host", uri.host);
    printf(", ");
    print_text("parameters", uri.parameters);
    printf(", ");
    print_text("headers", uri.headers);
    printf(", \"port\": %u, \"bracketed\": %d}\n", (unsigned)uri.port, uri.bracketed);
    return 0;
}

/* The octets in a block of exactly their size, so that a sanitizer sees every read outside. */
static char *
read_file(const char *path, size_t *n_out)
{
    FILE *file = fopen(path, "rb");
    char *data = NULL;
    if (file && fseek(file, 0, SEEK_END) == 0) {
        long size = ftell(file);
        rewind(file);
        data = size >= 0 ? malloc((size_t)size + (size == 0)) : NULL;
        *n_out = data ? fread(data, 1, (size_t)size, file) : 0;
    }
    if (file)
        fclose(file);
    return data;
}

int
main(int argc, char **argv)
{
    int stream = argc == 3 && strcmp(argv[1], "--stream") == 0;
    size_t n;
    if (argc == 3 && strcmp(argv[1], "--uri") == 0)
        return print_uri(argv[2]);
    char *data = argc > 1 ? read_file(argv[1 + stream], &n) : NULL;
    if (!data) {
        fprintf(stderr, "usage: sip_corpus FILE [NAME ...] | --stream FILE | --uri TEXT\n");
        return 2;
    }
    int status = stream ? print_stream(data, n) : print_message(data, n, argc - 2, argv + 2);
    free(data);
    return status;
}
