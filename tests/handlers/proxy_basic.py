"""Routes of the proxy tests: what a request wants stands in its header X-Mode."""

import time


class Handler:
    def child_init(self, rank):
        self.rank = rank
        return 0

    def route(self, msg):
        mode = msg.getHeader("X-Mode") or ""
        if mode == "reply":
            msg.call_function("append_to_reply", f"X-Rank: {self.rank}")
            msg.call_function("sl_send_reply", "404", "Nobody Here")
            return 0
        if mode == "raise":
            raise LookupError("asked for")
        if mode == "stuck":
            time.sleep(1000)
        if mode == "silent":
            return 0
        if mode == "refuse":
            return -1
        target = msg.getHeader("X-Target")
        if target:
            msg.set_dst_uri(target)
        if mode == "forward":
            msg.call_function("append_hf", "X-Seen: yes\r\n")
            msg.call_function("forward")
        elif mode == "failover":
            msg.call_function("t_on_failure", "failover")
            msg.call_function("t_relay")
        elif mode == "newtran":
            msg.call_function("t_newtran")
            msg.call_function("t_reply", "403", "Not Today")
        elif mode == "record":
            msg.call_function("record_route")
            msg.rewrite_ruri("sip:carol@127.0.0.1:5999")
            msg.call_function("t_relay")
        return 1

    def failover(self, msg):
        msg.set_dst_uri(msg.getHeader("X-Second"))
        msg.call_function("t_relay")
        return 1

    def drop_183(self, msg):
        if msg.Status == "183":
            msg.call_function("drop")
        else:
            msg.call_function("append_hf", "X-Route: onreply\r\n")
        return 1


def mod_init():
    return Handler()
