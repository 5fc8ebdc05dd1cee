"""A stand-in for Twilio's Messages API, with state and signed callbacks. A model of it, not Twilio.

    python twilio_stub.py --token TOKEN --out FILE     says "listening PORT" and keeps each message it takes as a line of FILE

The account is active, and suspended once there is a file "suspended". The last two digits of the number that is written to say what happens:
  00 no such number (21211)           05 taken, and no final word ever       08 taken, and cut before the answer
  02 not delivered (30003)            06 landline (21614)                    09 reports twice and out of order
  03 failed (30006)                   07 asked for no more texts (21610)     10 never an answer, and taken
  04 too fast twice (429), then taken                                        11 never an answer, and never taken
  12 fails (500) and took it          13 answers nonsense (201)              others: sent, delivered
"""

import argparse
import base64
import hashlib
import hmac
import http.server
import json
import os
import threading
import time
import urllib.parse
import urllib.request

SAID = {
    "02": [("sent", ""), ("undelivered", "30003")],
    "03": [("failed", "30006")],
    "05": [("sent", "")],
    "09": [("delivered", ""), ("sent", ""), ("delivered", ""), ("undelivered", "30003")],
    "10": [],
    "12": [],
}
messages, tries, lock = {}, {}, threading.Lock()


def signature(url, fields):
    said = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.new(options.token.encode(), said.encode(), hashlib.sha1).digest()).decode()


def call_back(url, fields):
    request = urllib.request.Request(url, urllib.parse.urlencode(fields).encode())
    request.add_header("X-Twilio-Signature", signature(url, fields))
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).read()
    except Exception as error:
        print("callback", error, flush=True)


def tell(message, url, account):
    for status, code in SAID.get(message["to"][-2:], [("sent", ""), ("delivered", "")]):
        time.sleep(0.02)
        message["status"], message["error_code"] = status, int(code) if code else None
        fields = {
            "MessageSid": message["sid"],
            "MessageStatus": status,
            "To": message["to"],
            "From": message["from"],
            "AccountSid": account,
            "ApiVersion": "2010-04-01",
        }
        if code:
            fields["ErrorCode"] = code
        call_back(url, fields)


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def refuse(self, status, code, what):
        self.answer(status, {"code": code, "message": what, "status": status})

    def is_known(self):
        said = self.headers.get("Authorization", "")
        known = said.startswith("Basic ") and base64.b64decode(said[6:]).decode() == "AC1:" + options.token
        if not known:
            self.refuse(401, 20003, "Authenticate")
        return known

    def do_GET(self):
        if not self.is_known():
            return
        if self.path == "/2010-04-01/Accounts/AC1.json":
            return self.answer(200, {"sid": "AC1", "status": "suspended" if os.path.exists("suspended") else "active"})
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        with lock:
            found = [message for message in messages.values() if message["to"] == asked.get("To", [""])[0]]
        self.answer(200, {"messages": found})

    def do_POST(self):
        fields = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        if not self.is_known():
            return
        to, account = fields.get("To", ""), self.path.split("/")[3]
        end = to[-2:]
        if not to.startswith("+") or end == "00":
            return self.refuse(400, 21211, f"Invalid 'To' Phone Number: {to}")
        if end == "06":
            return self.refuse(400, 21614, f"'To' number is not a valid mobile number: {to}")
        if end == "07":
            return self.refuse(400, 21610, "Attempt to send to unsubscribed recipient")
        with lock:
            tries[to] = tries.get(to, 0) + 1
            if end == "04" and tries[to] <= 2:
                return self.refuse(429, 20429, "Too Many Requests")
            with open(options.out + ".asked", "a") as asked:
                asked.write(to + "\n")
            message = {
                "sid": f"SM{len(messages) + 1:032x}",
                "status": "queued",
                "to": to,
                "from": fields.get("From", ""),
                "body": fields.get("Body", ""),
                "error_code": None,
            }
            if end != "11":
                messages[message["sid"]] = message
                with open(options.out, "a") as kept:
                    kept.write(json.dumps({**message, "report_to": fields.get("StatusCallback")}) + "\n")
        if end == "11":
            return time.sleep(3600)
        threading.Thread(target=tell, args=(message, fields["StatusCallback"], account), daemon=True).start()
        if end == "08":
            self.close_connection = True
            return self.connection.shutdown(2)
        if end == "10":
            return time.sleep(3600)
        if end == "12":
            return self.refuse(500, 20500, "Internal Server Error")
        if end == "13":
            return self.answer(201, b"<html>thank you</html>")
        self.answer(201, message)

    def log_message(self, *_):
        pass


parser = argparse.ArgumentParser()
parser.add_argument("--token", required=True)
parser.add_argument("--out", required=True)
options = parser.parse_args()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
server.daemon_threads = True
print("listening", server.server_address[1], flush=True)
server.serve_forever()
