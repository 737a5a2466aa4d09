"""A user agent of sippy, as a process of its own: callee HOST:PORT, or
caller HOST:PORT PROXY CASE TARGET.

A callee rings and answers, or is busy if that is the user that is called. A caller hangs up when
it was answered, or gives up when it rings if CASE is "cancel". Each prints what happened, a line
each, and "end" when the call is over.
"""

import sys

from sippy.CCEvents import CCEventConnect, CCEventDisconnect, CCEventFail, CCEventRing, CCEventTry
from sippy.Core.EventDispatcher import ED2
from sippy.MsgBody import MsgBody
from sippy.SipConf import SipConf
from sippy.SipHeader import SipHeader
from sippy.SipTransactionManager import SipTransactionManager
from sippy.Time.Timeout import Timeout
from sippy.UA import UA

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0\r\n"
)
TALK_SECONDS = 0.1


class Silent:
    """A log that nobody reads."""

    def write(self, *_, **__):
        pass


def tell(word):
    print(word, flush=True)


class Callee:
    """Answers one call after another."""

    def __init__(self, config):
        self.config = config

    def request(self, request, transaction):
        if request.getHFBody("to").getTag() is not None:
            return (request.genResponse(481, "No Such Call"), None, None)
        if request.getMethod() != "INVITE":
            return (request.genResponse(200, "OK"), None, None)
        return UA(self.config, self.event).recvRequest(request, transaction)

    def event(self, event, agent):
        tell(event.name.removeprefix("CCEvent"))
        if isinstance(event, CCEventTry):
            if event.getData()[2] == "busy":
                agent.recvEvent(CCEventFail((486, "Busy Here")))
                return
            agent.recvEvent(CCEventRing((180, "Ringing", None)))
            if event.getData()[2] != "ring":
                answer = CCEventConnect((200, "OK", MsgBody(SDP)))
                Timeout(agent.recvEvent, TALK_SECONDS, 1, answer)  # several threads of sippy send


class Caller:
    """Makes one call."""

    def __init__(self, config, proxy, case, target):
        host, port = proxy.rsplit(":", 1)
        self.case = case
        self.agent = UA(
            config,
            self.event,
            username="caller",
            password="open-sesame",
            nh_address=(host, int(port)),
            dead_cbs=(self.dead,),
        )
        self.agent.godead_timeout = TALK_SECONDS
        user = "auth" if case == "auth" else "call"
        call = CCEventTry((None, "caller", user, MsgBody(SDP), None, None))
        call.extra_headers = (SipHeader(f"X-Target: {target}"),)
        Timeout(self.agent.recvEvent, 0, 1, call)

    def request(self, request, _transaction):
        return (request.genResponse(501, "Not Implemented"), None, None)

    def hang_up(self):
        self.agent.recvEvent(CCEventDisconnect())

    def event(self, event, _agent):
        code = event.getData()[0]
        tell(f"{event.name.removeprefix('CCEvent')} {code}")
        if self.case == "cancel" and code == 180:
            self.hang_up()
        elif isinstance(event, CCEventConnect):
            Timeout(self.hang_up, TALK_SECONDS)

    def dead(self, *_):
        tell("end")
        ED2.breakLoop()


def main(role, address, *rest):
    host, port = address.rsplit(":", 1)
    SipConf.my_uaname = "sippy"
    config = {"_sip_address": host, "_sip_port": int(port), "_sip_logger": Silent()}
    peer = Callee(config) if role == "callee" else Caller(config, *rest)
    config["_sip_tm"] = SipTransactionManager(config, peer.request)
    tell("ready")
    ED2.loop()


main(*sys.argv[1:])
