/* address.h: listen addresses, and addresses between isoexec.h, the system and texts. */
#ifndef PROXY_ADDRESS_H
#define PROXY_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "isoexec.h"

#define PROXY_IP_TEXT 48 /* an IP with brackets and its NUL */

/* The IP as SIP writes it: "192.0.2.1", "2001:db8::1" (RFC 5952). Returns the length. */
size_t proxy_ip_text(const iso_address *address, char text[PROXY_IP_TEXT]);
/* The same for a sent-by or a URI: IPv6 in brackets (RFC 3261 25.1). */
size_t proxy_host_text(const iso_address *address, char text[PROXY_IP_TEXT]);
/* "udp", "tcp", "UDP" in any case; ISO_PROTOCOL_UNKNOWN for others. */
uint8_t proxy_protocol_of(iso_str name);
const char *proxy_protocol_name(uint8_t protocol); /* "UDP" */
/* "192.0.2.1" or "2001:db8::1", brackets or not, with this port. 0, or ISO_EINVAL for names. */
int proxy_address_of(iso_address *out, iso_str host, uint16_t port, uint8_t protocol);

socklen_t proxy_to_system(const iso_address *address, struct sockaddr_storage *out);
void proxy_from_system(const struct sockaddr_storage *address, uint8_t protocol, iso_address *out);
int proxy_same_address(const iso_address *a, const iso_address *b); /* family, IP, port; not the protocol */

/* Reads "udp:HOST:PORT" and appends what it stands for: a name resolved, a wildcard as every address of this machine
 * that is up. *count is raised, up to `max`. 0, or ISO_ECONFIG with a sentence. Blocks on names: for the start only. */
int proxy_listen_parse(const char *text, iso_address *out, int *count, int max, iso_error *err);

#endif
