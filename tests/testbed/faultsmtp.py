"""An SMTP receiver on loopback whose recipient's local part picks the fault.

  perm-*    550 5.1.1                      full-*   552 5.2.2
  temp-*    451 4.2.0                      tight-*  452 4.2.2
  grey-*    451 4.7.1 the first time, then accepted
  data5-*   554 after the whole message    slow-N-* N seconds before the 250
  echo-*    550 with the address itself in the text
  gone-*    the connection is reset instead of an answer to DATA
  drop-*    the connection is reset in the middle of the message
  lost-*    accepted and kept, then the connection is cut before the 250: the sender cannot know
  babble-*  accepted and kept, then answered with a line that is not SMTP
  rude-*    accepted and kept; whatever is said next, QUIT or another MAIL, is answered by a reset

--greeting TEXT greets with TEXT and reads on without another word.
Each accepted message becomes one JSON line in --out: mail_from, rcpt, tls, data.
The first line on standard output is `listening PORT`.
"""

import argparse
import asyncio
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

REFUSED_RECIPIENTS = {
    "perm": "550 5.1.1 No such user here",
    "full": "552 5.2.2 Mailbox full",
    "temp": "451 4.2.0 Try again later",
    "tight": "452 4.2.2 Mailbox full at the moment",
}


def fault_of(address):
    return address.split("@")[0].split("-")[0]


class Receiver:
    def __init__(self, out):
        self.out = out
        self.greylisted = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        fault = fault_of(address)
        if fault in REFUSED_RECIPIENTS:
            return REFUSED_RECIPIENTS[fault]
        if fault == "echo":
            return f"550 5.1.1 <{address}>: Recipient address rejected: {address} is unknown here"
        if fault == "grey" and address not in self.greylisted:
            self.greylisted.add(address)
            return "451 4.7.1 Greylisted, try again in 1 s"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        recipient = envelope.rcpt_tos[0]
        fault = fault_of(recipient)
        if fault == "data5":
            return "554 5.7.1 Message rejected as spam"
        if fault == "slow":
            await asyncio.sleep(float(recipient.split("-")[1]))
        self.keep(session, envelope)
        if fault == "lost":
            server.transport.abort()
        if fault == "babble":
            return "purple monkey dishwasher"
        server.is_rude = fault == "rude"
        return "250 2.0.0 OK queued"

    def keep(self, session, envelope):
        line = json.dumps({
            "mail_from": envelope.mail_from,
            "rcpt": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "data": envelope.content.decode("utf-8", "replace"),
        })
        with open(self.out, "a") as out:
            out.write(line + "\n")


class DroppingSMTP(SMTP):
    is_rude = False

    async def smtp_MAIL(self, arg):
        await self.unless_rude(super().smtp_MAIL, arg)

    async def smtp_RSET(self, arg):
        await self.unless_rude(super().smtp_RSET, arg)

    async def smtp_QUIT(self, arg):
        await self.unless_rude(super().smtp_QUIT, arg)

    async def unless_rude(self, command, arg):
        if self.is_rude:
            self.transport.abort()
            return
        await command(arg)

    async def smtp_DATA(self, arg):
        recipients = self.envelope.rcpt_tos
        if recipients and fault_of(recipients[0]) == "gone":
            self.transport.abort()
            return
        if recipients and fault_of(recipients[0]) == "drop":
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            await self._reader.read(20)
            self.transport.abort()
            return
        await super().smtp_DATA(arg)


async def stay_silent(reader, writer):
    await reader.read()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--out", required=True)
    parser.add_argument("--silent", action="store_true", help="accept connections and never say a word")
    parser.add_argument("--greeting", metavar="TEXT", help="greet so, and never say another word")
    parser.add_argument("--starttls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="offer and require STARTTLS")
    parser.add_argument("--login", nargs=2, metavar=("USER", "PASSWORD"), help="take mail only after this login")
    options = parser.parse_args()

    receiver = Receiver(options.out)
    settings = {"hostname": "sink.test", "enable_SMTPUTF8": True}
    if options.starttls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.starttls)
        settings.update(tls_context=context, require_starttls=True)

    if options.login:
        wanted = LoginPassword(*(word.encode() for word in options.login))

        def check(server, session, envelope, mechanism, given):
            return AuthResult(success=given == wanted)

        settings.update(authenticator=check, auth_required=True, auth_require_tls=False)

    async def greet_only(reader, writer):
        writer.write(options.greeting.encode() + b"\r\n")
        await reader.read()

    if options.greeting:
        server = await asyncio.start_server(greet_only, "127.0.0.1", options.port)
    elif options.silent:
        server = await asyncio.start_server(stay_silent, "127.0.0.1", options.port)
    else:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: DroppingSMTP(receiver, **settings), "127.0.0.1", options.port)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
