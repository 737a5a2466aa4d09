/* names.c: header names: which mean the same, and which hold lists. */
#include <string.h>

#include "script/sipmsg.h"
#include "sip/wanted.h"

/* Headers whose grammar is a list with commas (RFC 3261 7.3.1 and 25.1, and the RFCs named). All others
 * keep their commas: those of Date or Subject separate nothing, and those of WWW-Authenticate,
 * Authorization and the Proxy- twins separate parameters of one value (RFC 3261 7.3.1). */
/* clang-format off */
static const char *const list_names[] = {
    "Accept", "Accept-Encoding", "Accept-Language", "Alert-Info", "Allow", "Call-Info", "Contact",
    "Content-Encoding", "Content-Language", "Error-Info", "In-Reply-To", "Proxy-Require", "Record-Route",
    "Require", "Route", "Supported", "Unsupported", "Via", "Warning",
    "Accept-Contact", "Reject-Contact", "Request-Disposition",       /* RFC 3841 */
    "Accept-Resource-Priority", "Resource-Priority",                 /* RFC 4412 */
    "Allow-Events",                                                  /* RFC 6665 */
    "Diversion",                                                     /* RFC 5806 */
    "Feature-Caps",                                                  /* RFC 6809 */
    "Geolocation",                                                   /* RFC 6442 */
    "History-Info",                                                  /* RFC 7044 */
    "P-Access-Network-Info", "P-Associated-URI", "P-Visited-Network-ID", /* RFC 7315 */
    "P-Asserted-Identity", "P-Preferred-Identity",                   /* RFC 3325 */
    "P-Early-Media",                                                 /* RFC 5009 */
    "P-Media-Authorization",                                         /* RFC 3313 */
    "P-Refused-URI-List",                                            /* RFC 5318 */
    "Path",                                                          /* RFC 3327 */
    "Permission-Missing", "Trigger-Consent",                         /* RFC 5360 */
    "Reason",                                                        /* RFC 3326 */
    "Recv-Info",                                                     /* RFC 6086 */
    "Security-Client", "Security-Server", "Security-Verify",         /* RFC 3329 */
    "Service-Route",                                                 /* RFC 3608 */
    "User-to-User",                                                  /* RFC 7433 */
};
/* clang-format on */

int
script_same_name(iso_str a, iso_str b)
{
    iso__wanted wanted;
    iso__wanted_init(&wanted, a);
    return a.n > 0 && iso__wanted_is(&wanted, b);
}

int
script_is_list(iso_str name)
{
    iso__wanted wanted;
    iso__wanted_init(&wanted, name);
    for (size_t i = 0; i < sizeof list_names / sizeof list_names[0]; i++) {
        if (iso__same_text(wanted.name, (iso_str){list_names[i], strlen(list_names[i])}))
            return 1;
    }
    return 0;
}
