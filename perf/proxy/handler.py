"""One handler for both proxies: the same reads and the same decisions, with OpenSIPS' API.

Kamailio's configuration replies or relays after the method, isoexec's method asks for it itself.
"""

TARGET = "sip:bob@127.0.0.1:5090"


class Handler:
    def __init__(self):
        self.count = 0

    def child_init(self, rank):
        return 0

    def read(self, msg):
        self.seen = (msg.Method, msg.RURI, msg.getHeader("From"), msg.src_address)
        self.count += 1

    def reply(self, msg, *_):
        self.read(msg)
        return 1

    def target(self, msg, *_):
        self.read(msg)
        msg.rewrite_ruri(TARGET)
        msg.set_dst_uri("sip:127.0.0.1:5090")
        return 1

    def reply_py(self, msg):
        self.reply(msg)
        msg.call_function("sl_send_reply", "200", "OK")
        return 0

    def fwd_py(self, msg):
        self.target(msg)
        msg.call_function("forward")
        return 0

    def t_relay(self, msg):
        self.target(msg)
        msg.call_function("t_relay")
        return 0


def mod_init():
    return Handler()
