"""Answers each request that reaches the request route with 404."""


class Handler:
    def child_init(self, rank):
        return 0

    def route(self, msg):
        msg.call_function("sl_send_reply", "404", "Nobody Here")
        return 0


def mod_init():
    return Handler()
