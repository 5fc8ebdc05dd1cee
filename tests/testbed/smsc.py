"""A phone network that speaks SMPP 3.4, for a gateway to send through: a model of one.

    python smsc.py --out FILE --back FILE      says "listening PORT"; keeps each message it takes as a line of the first FILE

The last two digits of the number that is written to say what happens: 00 no such number, 02 not delivered, 05 no receipt ever,
others delivered. Each line `FROM TO TEXT` that is added to the second file is a message that somebody writes back.
"""

import argparse
import json
import socketserver
import struct
import threading
import time

BIND, SUBMIT, DELIVER, UNBIND, ENQUIRE = 0x09, 0x04, 0x05, 0x06, 0x15
ANSWER, WRONG_NUMBER = 0x80000000, 0x0B
RECEIPTS = {"02": "UNDELIV", "05": None}
# 3GPP TS 23.038 §6.2.1, the basic alphabet.
ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
binds, lock, count = [], threading.Lock(), [1000]


def text(body, at):
    end = body.index(b"\0", at)
    return body[at:end].decode("latin-1"), end + 1


class Bind(socketserver.BaseRequestHandler):
    def handle(self):
        self.sequence = 0
        with lock:
            binds.append(self)
        while True:
            head = self.whole(16)
            if not head:
                return
            length, command, _, sequence = struct.unpack(">IIII", head)
            body = self.whole(length - 16) if length > 16 else b""
            if command == BIND:
                self.say(command | ANSWER, 0, sequence, b"smsc\0")
                print("bound", flush=True)
            elif command == SUBMIT:
                self.submitted(sequence, body)
            elif command in (ENQUIRE, UNBIND):
                self.say(command | ANSWER, 0, sequence, b"")

    def whole(self, length):
        got = b""
        while len(got) < length:
            part = self.request.recv(length - len(got))
            if not part:
                return b""
            got += part
        return got

    def say(self, command, status, sequence, body):
        with lock:
            self.request.sendall(struct.pack(">IIII", 16 + len(body), command, status, sequence) + body)

    def submitted(self, sequence, body):
        _, at = text(body, 0)
        source, at = text(body, at + 2)
        to, at = text(body, at + 2)
        at += 3
        _, at = text(body, at)
        _, at = text(body, at)
        wants_receipt, coding, length = body[at] & 1, body[at + 2], body[at + 4]
        message = body[at + 5 : at + 5 + length]
        if to.endswith("00"):
            return self.say(SUBMIT | ANSWER, WRONG_NUMBER, sequence, b"\0")
        count[0] += 1
        number = str(count[0])
        with open(options.out, "a") as kept:
            kept.write(json.dumps({"to": to, "from": source, "coding": coding, "body": "".join(ALPHABET[b] for b in message)}) + "\n")
        self.say(SUBMIT | ANSWER, 0, sequence, number.encode() + b"\0")
        status = RECEIPTS.get(to[-2:], "DELIVRD")
        if wants_receipt and status:
            time.sleep(0.05)
            receipt = f"id:{number} sub:001 dlvrd:001 submit date:2611212300 done date:2611212301 stat:{status} err:000 text:"
            self.deliver(to, source, receipt, 4)

    def deliver(self, source, to, message, esm_class):
        self.sequence += 1
        said = message.encode("latin-1")
        body = b"\0\1\1" + source.encode() + b"\0\1\1" + to.encode() + b"\0" + bytes([esm_class, 0, 0]) + b"\0\0"
        self.say(DELIVER, 0, self.sequence, body + bytes([0, 0, 0, 0, len(said)]) + said)


class Network(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


parser = argparse.ArgumentParser()
parser.add_argument("--out", required=True)
parser.add_argument("--back", required=True)
options = parser.parse_args()


def read_back():
    seen = 0
    while True:
        time.sleep(0.02)
        try:
            lines = open(options.back).read().splitlines()
        except FileNotFoundError:
            continue
        for line in lines[seen:]:
            source, to, message = line.split(" ", 2)
            binds[-1].deliver(source, to, message, 0)
        seen = len(lines)


server = Network(("127.0.0.1", 0), Bind)
threading.Thread(target=read_back, daemon=True).start()
print("listening", server.server_address[1], flush=True)
server.serve_forever()
