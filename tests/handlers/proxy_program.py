"""Routes that run what a message says: steps in JSON in X-Request, X-Branch, X-Failure, X-Reply.

A step is ["name", arguments...] of a host function, ["=", format] for get_pseudoVar, or
["=", name, value] for set_pseudoVar. What came of each is kept by Call-ID; a request with
X-Ask is sent on with it as its body.
"""

import json


class Handler:
    def __init__(self):
        self.results = {}

    def child_init(self, rank):
        return 0

    def step(self, msg, name, *arguments):
        try:
            if name != "=":
                return msg.call_function(name, *arguments)
            if len(arguments) == 1:
                return msg.get_pseudoVar(*arguments)
            return msg.set_pseudoVar(*arguments)
        except (RuntimeError, TypeError, ValueError) as error:
            return f"{type(error).__name__}: {error}"

    def run(self, msg, part):
        steps = msg.getHeader(f"X-{part}")
        if steps is None:
            return 1
        results = [self.step(msg, *step) for step in json.loads(steps)]
        self.results.setdefault(msg.getHeader("Call-ID"), []).append([part, *results])
        return 1

    def route(self, msg):
        asked = msg.getHeader("X-Ask")
        if asked is not None:
            msg.set_body(json.dumps(self.results.pop(asked, [])), "application/json")
            msg.call_function("forward")
            return 0
        return self.run(msg, "Request")

    def branch(self, msg):
        return self.run(msg, "Branch")

    def failure(self, msg):
        return self.run(msg, "Failure")

    def reply(self, msg):
        return self.run(msg, "Reply")


def mod_init():
    return Handler()
