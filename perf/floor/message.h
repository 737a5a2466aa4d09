/* message.h: the message of every case, an INVITE of 713 octets with 12 headers. */
#ifndef FLOOR_MESSAGE_H
#define FLOOR_MESSAGE_H

#define FLOOR_MESSAGE                                                                                                  \
    "INVITE sip:bob.builder@biloxi.example.com;transport=udp SIP/2.0\r\n"                                              \
    "Via: SIP/2.0/UDP pc33.atlanta.example.com:5060;branch=z9hG4bK776asdhds;rport\r\n"                                 \
    "Max-Forwards: 70\r\n"                                                                                             \
    "To: \"Bob Builder\" <sip:bob.builder@biloxi.example.com>\r\n"                                                     \
    "From: \"Alice Atlanta\" <sip:alice@atlanta.example.com>;tag=1928301774\r\n"                                       \
    "Call-ID: a84b4c76e66710-38f2@pc33.atlanta.example.com\r\n"                                                        \
    "CSeq: 314159 INVITE\r\n"                                                                                          \
    "Contact: <sip:alice@pc33.atlanta.example.com:5060;transport=udp>\r\n"                                             \
    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n"                                                                     \
    "Supported: replaces, timer\r\n"                                                                                   \
    "User-Agent: Example-UA/4.2.1\r\n"                                                                                 \
    "Content-Type: application/sdp\r\n"                                                                                \
    "Content-Length: 130\r\n"                                                                                          \
    "\r\n"                                                                                                             \
    "v=0\r\no=alice 53655765 2353687637 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"                    \
    "m=audio 49170 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"

#define FLOOR_MESSAGE_LENGTH ((unsigned)(sizeof(FLOOR_MESSAGE) - 1))
#define FLOOR_MESSAGE_HEADERS 12
#define FLOOR_BUFFER 1024 /* the floor's indexer may read 64 octets past the end */

#endif
