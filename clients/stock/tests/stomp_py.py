"""stomp.py over plain TCP against the platform: what STOMP_PORT, CHAT_URL, CHAT_TOKEN and CHAT_CONVERSATION name."""

import json
import os
import threading
import time
import unittest
import urllib.request
import uuid

import stomp

URL, TOKEN, CONVERSATION = (os.environ[f"CHAT_{name}"] for name in ("URL", "TOKEN", "CONVERSATION"))
ADDRESS = [("127.0.0.1", int(os.environ["STOMP_PORT"]))]
SEND_TO = f"/app/conversations/{CONVERSATION}/messages"
VERSIONS = (stomp.Connection10, stomp.Connection11, stomp.Connection12)


def rest(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(URL + path, data, headers), timeout=20) as answer:
        return json.load(answer)


def send_by_rest(content):
    return rest(f"/v1/conversations/{CONVERSATION}/messages", {"clientMsgId": str(uuid.uuid4()), "content": content})


class Person(stomp.ConnectionListener):
    """A connection and what came over it."""

    def __init__(self, kind=stomp.Connection12, heartbeats=(0, 0), position=None):
        self.changed = threading.Condition()
        self.messages, self.receipts, self.errors, self.beats, self.is_gone = [], [], [], 0, False
        self.kind = kind
        self.connection = kind(ADDRESS) if kind is stomp.Connection10 else kind(ADDRESS, heartbeats=heartbeats)
        self.connection.set_listener("", self)
        self.connection.connect("-", TOKEN, wait=True, headers={"position": position} if position else {})

    def note(self, change):
        with self.changed:
            change()
            self.changed.notify_all()

    def on_message(self, frame):
        self.note(lambda: self.messages.append(frame))

    def on_receipt(self, frame):
        self.note(lambda: self.receipts.append(frame.headers["receipt-id"]))

    def on_error(self, frame):
        self.note(lambda: self.errors.append(frame))

    def on_heartbeat(self):
        self.note(lambda: setattr(self, "beats", self.beats + 1))

    def on_disconnected(self):
        self.note(lambda: setattr(self, "is_gone", True))

    def until(self, condition, what):
        with self.changed:
            if not self.changed.wait_for(condition, 20):
                raise AssertionError(f"{what}; came: {self.contents()}, receipts {self.receipts}, errors {self.errors}")

    def answered(self, receipt):
        self.until(lambda: receipt in self.receipts, f"no receipt {receipt}")

    def subscribe(self, ack="auto"):
        self.connection.subscribe("/user/queue/messages", id="1", ack=ack, headers={"receipt": "live"})
        self.answered("live")

    def send(self, content, **headers):
        self.connection.send(SEND_TO, content, **headers)

    def ack(self, frame, receipt, verb="ack"):
        """Each version acknowledges in its own way."""
        say = getattr(self.connection, verb)
        if self.kind is stomp.Connection12:
            say(frame.headers["ack"], receipt=receipt)
        elif self.kind is stomp.Connection11:
            say(frame.headers["message-id"], "1", receipt=receipt)
        else:
            say(frame.headers["message-id"], receipt=receipt)
        self.answered(receipt)

    def contents(self):
        return [json.loads(frame.body).get("content") for frame in self.messages]

    def came(self, *contents):
        self.until(lambda: len(self.messages) >= len(contents), f"not all of {contents}")
        assert self.contents() == list(contents), self.contents()

    def leave(self):
        self.connection.disconnect(receipt="bye")
        self.answered("bye")

    def drop(self):
        """As a network does: without a word."""
        self.connection.transport.disconnect_socket()
        self.until(lambda: self.is_gone, "the connection is not gone")


class StompPy(unittest.TestCase):
    def setUp(self):
        self.name = f"{self._testMethodName} {uuid.uuid4().hex[:6]}"
        # from here on: what came before is acknowledged for this user
        last = rest(f"/v1/conversations/{CONVERSATION}")["lastSeq"]
        rest(f"/v1/conversations/{CONVERSATION}/receipts", {"deliveredSeq": last})

    def texts(self, count):
        return [f"{self.name} {number} ☃" for number in range(count)]

    def test_receipt_of_a_send_means_stored(self):
        for kind in VERSIONS:
            with self.subTest(kind.__name__):
                person = Person(kind)
                text = f"{self.name} {kind.__name__} a\tb:c\\d ☃ " + "x" * 50_000
                person.send(text, receipt="stored")
                person.answered("stored")
                newest = rest(f"/v1/conversations/{CONVERSATION}/messages?limit=1")["messages"]
                self.assertEqual([message["content"] for message in newest], [text])
                person.leave()
                self.assertEqual(person.errors, [])

    def test_what_was_acknowledged_does_not_come_again(self):
        for kind in VERSIONS:
            with self.subTest(kind.__name__):
                self.setUp()
                texts = self.texts(4)
                person = Person(kind)
                person.subscribe("client")
                for text in texts:
                    person.send(text)
                person.came(*texts)
                # cumulative: the second covers the first
                person.ack(person.messages[1], "settled")
                person.leave()
                again = Person(kind)
                again.subscribe("client")
                again.came(*texts[2:])
                again.ack(again.messages[-1], "settled")
                again.leave()
                third = Person(kind)
                third.subscribe()
                third.send("the end")
                third.came("the end")
                third.leave()

    def test_each_for_itself(self):
        for kind in VERSIONS[1:]:
            with self.subTest(kind.__name__):
                self.setUp()
                texts = self.texts(4)
                person = Person(kind)
                person.subscribe("client-individual")
                for text in texts:
                    person.send(text)
                person.came(*texts)
                person.ack(person.messages[0], "first")
                person.ack(person.messages[3], "last")
                person.ack(person.messages[1], "refused", verb="nack")
                person.leave()
                again = Person(kind)
                again.subscribe()
                again.came(*texts[1:])
                again.leave()

    def test_a_transaction_is_done_whole_or_not_at_all(self):
        for kind in VERSIONS:
            with self.subTest(kind.__name__):
                self.setUp()
                texts = self.texts(5)
                person = Person(kind)
                person.subscribe()
                person.connection.begin("given-up")
                person.send("given up", transaction="given-up")
                person.connection.abort("given-up")
                person.connection.begin("kept")
                for text in texts:
                    person.send(text, transaction="kept")
                person.send("before the commit", receipt="before")
                person.answered("before")
                person.connection.commit("kept", receipt="kept") if kind is stomp.Connection12 else person.connection.commit("kept")
                person.came("before the commit", *texts)
                person.leave()

    def test_heart_beats_keep_a_silent_connection(self):
        person = Person(heartbeats=(500, 500))
        person.subscribe()
        start = time.monotonic()
        person.until(lambda: person.beats >= 5, "no beats")
        self.assertLess(time.monotonic() - start, 10)
        person.send(self.name)
        person.came(self.name)
        self.assertEqual((person.errors, person.is_gone), ([], False))
        person.leave()

    def test_a_lost_connection_goes_on_after_its_position(self):
        texts = self.texts(6)
        person = Person()
        person.subscribe()
        for text in texts[:2]:
            person.send(text)
        person.came(*texts[:2])
        position = person.messages[-1].headers["position"]
        person.drop()
        for text in texts[2:5]:
            send_by_rest(text)
        again = Person(position=position)
        again.subscribe()
        again.send(texts[5])
        again.came(*texts[2:])
        seqs = [int(frame.headers["seq"]) for frame in person.messages + again.messages]
        self.assertEqual(seqs, list(range(seqs[0], seqs[0] + 6)))
        again.leave()

    def test_a_wrong_token_and_a_wrong_destination_are_refused(self):
        stranger = stomp.Connection12(ADDRESS)
        with self.assertRaises(stomp.exception.ConnectFailedException):
            stranger.connect("-", "not a token", wait=True)
        person = Person()
        person.connection.subscribe("/user/somebody-else/queue/messages", id="1")
        person.until(lambda: person.errors and person.is_gone, "no ERROR and end")


if __name__ == "__main__":
    unittest.main(verbosity=2)
