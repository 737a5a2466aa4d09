/* body.c: the frame of one message: its header struct, Content-Length and body. */
#include "isoexec_sip.h"
#include "sip/rows.h"
#include "sip/text.h"

int
iso_msg_init(iso_msg *msg, const char *data, size_t length)
{
    if (length == 0 || length > ISO_MSG_MAX_LENGTH || !data)
        return ISO_EINVAL;
    *msg = (iso_msg){
        .version = ISO_MSG_VERSION,
        .route = ISO_ROUTE_REQUEST,
        .length = (uint32_t)length,
        .data = data,
    };
    return 0;
}

int64_t
iso__content_length(const iso_msg *msg, const iso_index *index, int *agree_out)
{
    const iso_str name = ISO__TEXT("Content-Length");
    iso_str value;
    uint32_t cursor = 0;
    if (!iso_msg_header(msg, index, name, &cursor, NULL, &value))
        return ISO__LENGTH_NONE;
    int64_t length = iso__text_number(value, ISO_MSG_MAX_LENGTH);
    if (agree_out) {
        *agree_out = 1;
        while (iso_msg_header(msg, index, name, &cursor, NULL, &value))
            *agree_out &= iso__text_number(value, ISO_MSG_MAX_LENGTH) == length;
    }
    return length < 0 ? ISO_EPARSE : length;
}

int
iso_msg_body(const iso_msg *msg, const iso_index *index, iso_str *body_out)
{
    size_t there = msg->length - index->body;
    int64_t length = iso__content_length(msg, index, NULL);
    if (length < 0)
        return ISO_EPARSE;
    if (length == ISO__LENGTH_NONE)
        length = (int64_t)there;
    if (length > (int64_t)there)
        return ISO_EPARSE;
    *body_out = (iso_str){index->complete ? msg->data + index->body : NULL, (size_t)length};
    return 0;
}
