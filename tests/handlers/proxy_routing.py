"""Routes of the tests of RFC 3261 16: a request goes where X-Target and X-Second say."""


class Handler:
    def child_init(self, rank):
        return 0

    def route(self, msg):
        if msg.getHeader("X-Record"):
            msg.call_function("record_route")
        if msg.getHeader("X-Failure"):
            msg.call_function("t_on_failure", msg.getHeader("X-Failure"))
        relay = msg.getHeader("X-Relay") or "t_relay"
        for name in ("X-Target", "X-Second"):
            if target := msg.getHeader(name):
                msg.set_dst_uri(target)
                if msg.call_function(relay) < 0:
                    msg.call_function("sl_send_reply", "480", "No Way There")
        if not msg.getHeader("X-Target"):
            return 1  # by Route or R-URI
        return 0

    def again(self, msg):
        msg.set_dst_uri(msg.getHeader("X-Again"))
        msg.call_function("t_relay")
        return 1


def mod_init():
    return Handler()
