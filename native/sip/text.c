/* text.c: tables and numbers behind text.h. */
#include "sip/text.h"

#define TOKEN ISO__CLASS_TOKEN
#define DIGIT (ISO__CLASS_TOKEN | ISO__CLASS_DIGIT | ISO__CLASS_HOST | ISO__CLASS_IPV6)
#define ALPHA (ISO__CLASS_TOKEN | ISO__CLASS_HOST)
#define XDIGIT (ALPHA | ISO__CLASS_IPV6)

const unsigned char iso__octet_class[256] = {
    ['0'] = DIGIT,  ['1'] = DIGIT,  ['2'] = DIGIT,  ['3'] = DIGIT,           ['4'] = DIGIT,  ['5'] = DIGIT,
    ['6'] = DIGIT,  ['7'] = DIGIT,  ['8'] = DIGIT,  ['9'] = DIGIT,

    ['A'] = XDIGIT, ['B'] = XDIGIT, ['C'] = XDIGIT, ['D'] = XDIGIT,          ['E'] = XDIGIT, ['F'] = XDIGIT,
    ['G'] = ALPHA,  ['H'] = ALPHA,  ['I'] = ALPHA,  ['J'] = ALPHA,           ['K'] = ALPHA,  ['L'] = ALPHA,
    ['M'] = ALPHA,  ['N'] = ALPHA,  ['O'] = ALPHA,  ['P'] = ALPHA,           ['Q'] = ALPHA,  ['R'] = ALPHA,
    ['S'] = ALPHA,  ['T'] = ALPHA,  ['U'] = ALPHA,  ['V'] = ALPHA,           ['W'] = ALPHA,  ['X'] = ALPHA,
    ['Y'] = ALPHA,  ['Z'] = ALPHA,

    ['a'] = XDIGIT, ['b'] = XDIGIT, ['c'] = XDIGIT, ['d'] = XDIGIT,          ['e'] = XDIGIT, ['f'] = XDIGIT,
    ['g'] = ALPHA,  ['h'] = ALPHA,  ['i'] = ALPHA,  ['j'] = ALPHA,           ['k'] = ALPHA,  ['l'] = ALPHA,
    ['m'] = ALPHA,  ['n'] = ALPHA,  ['o'] = ALPHA,  ['p'] = ALPHA,           ['q'] = ALPHA,  ['r'] = ALPHA,
    ['s'] = ALPHA,  ['t'] = ALPHA,  ['u'] = ALPHA,  ['v'] = ALPHA,           ['w'] = ALPHA,  ['x'] = ALPHA,
    ['y'] = ALPHA,  ['z'] = ALPHA,

    ['-'] = ALPHA,  ['.'] = XDIGIT, ['_'] = ALPHA,  [':'] = ISO__CLASS_IPV6, ['!'] = TOKEN,  ['%'] = TOKEN,
    ['*'] = TOKEN,  ['+'] = TOKEN,  ['`'] = TOKEN,  ['\''] = TOKEN,          ['~'] = TOKEN,
};

int64_t
iso__text_number(iso_str text, int64_t max)
{
    int64_t number = 0;
    if (!iso__text_is(text, ISO__CLASS_DIGIT))
        return -1;
    for (size_t i = 0; i < text.n; i++) {
        number = number * 10 + (text.p[i] - '0');
        if (number > max)
            return -1;
    }
    return number;
}
