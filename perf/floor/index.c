/* index.c: see index.h. */
#include "index.h"

#include <immintrin.h>
#include <string.h>

/* Where a walk stands: the masks are those of the block at base; at lies in it. */
struct walk {
    const char *data;
    unsigned length, base, at;
    uint64_t lines, colons;
};

static inline int
start_line(const char *data, unsigned end, struct floor_index *index)
{
    const char *space = memchr(data, ' ', end);
    const char *uri, *uri_end;

    if (!space) {
        return -1;
    }
    uri = space + 1;
    uri_end = memchr(uri, ' ', (size_t)(data + end - uri));
    if (!uri_end) {
        return -1;
    }
    index->method_length = (uint16_t)(space - data);
    index->uri = (uint16_t)(uri - data);
    index->uri_length = (uint16_t)(uri_end - uri);
    return 0;
}

static inline int
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static inline int
is_fold(const char *data, unsigned at, unsigned length)
{
    return at < length && is_blank(data[at]);
}

static inline void
add_row(const char *data, struct floor_index *index, unsigned row, unsigned colon, unsigned line_end)
{
    struct floor_row *to = &index->rows[index->row_count++];
    unsigned name_end = colon, value = colon + 1, end = line_end;

    while (name_end > row && is_blank(data[name_end - 1])) {
        name_end--;
    }
    while (value < line_end && is_blank(data[value])) {
        value++;
    }
    if (end > value && data[end - 1] == '\r') {
        end--;
    }
    to->name = (uint16_t)row;
    to->name_length = (uint16_t)(name_end - row);
    to->value = (uint16_t)value;
    to->value_length = (uint16_t)(end - value);
}

static inline uint64_t
mask16(const char *p, char c)
{
    __m128i octets = _mm_loadu_si128((const __m128i *)(const void *)p);

    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(octets, _mm_set1_epi8(c)));
}

static inline __attribute__((always_inline)) void
masks_sse2(const char *p, uint64_t *lines, uint64_t *colons)
{
    *lines = mask16(p, '\n') | mask16(p + 16, '\n') << 16 | mask16(p + 32, '\n') << 32 | mask16(p + 48, '\n') << 48;
    *colons = mask16(p, ':') | mask16(p + 16, ':') << 16 | mask16(p + 32, ':') << 32 | mask16(p + 48, ':') << 48;
}

#define FLOOR_TARGET
#define FLOOR_MASKS masks_sse2
#define FLOOR_SEEK seek_sse2
#define FLOOR_WALK floor_index_sse2
#include "index_body.h"

#define AVX2 __attribute__((target("avx2,bmi")))

AVX2 static inline uint64_t
mask32(const char *p, char c)
{
    __m256i octets = _mm256_loadu_si256((const __m256i *)(const void *)p);

    return (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(octets, _mm256_set1_epi8(c)));
}

AVX2 static inline __attribute__((always_inline)) void
masks_avx2(const char *p, uint64_t *lines, uint64_t *colons)
{
    *lines = mask32(p, '\n') | mask32(p + 32, '\n') << 32;
    *colons = mask32(p, ':') | mask32(p + 32, ':') << 32;
}

#define FLOOR_TARGET AVX2
#define FLOOR_MASKS masks_avx2
#define FLOOR_SEEK seek_avx2
#define FLOOR_WALK floor_index_avx2
#include "index_body.h"

int
floor_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
}

/* Compares eight octets at a time; setting bit 5 folds the case of letters (RFC 3261 7.3.1). */
static inline int
same_name(const char *a, const char *b, unsigned n)
{
    for (; n >= 8; a += 8, b += 8, n -= 8) {
        uint64_t x, y;

        memcpy(&x, a, 8);
        memcpy(&y, b, 8);
        if ((x | 0x2020202020202020u) != (y | 0x2020202020202020u)) {
            return 0;
        }
    }
    for (; n; a++, b++, n--) {
        if ((*a | 0x20) != (*b | 0x20)) {
            return 0;
        }
    }
    return 1;
}

int
floor_index_find(const char *data, const struct floor_index *index, const char *name, unsigned length)
{
    for (int i = 0; i < index->row_count; i++) {
        if (index->rows[i].name_length == length && same_name(data + index->rows[i].name, name, length)) {
            return i;
        }
    }
    return -1;
}
