"""Leechers of one swarm, each a session of libtorrent with an address of its own; all know the seed and each other.

swarm_leechers.py TASK    TASK is a file of JSON, as scripts/bench writes it

Says "ready", begins when the file "go" appears in its folder, and says "complete SECONDS DOWNLOADED UPLOADED" when the
last of them is. Then they go on to seed until the process is killed.
"""

import json
import pathlib
import sys
import time

import libtorrent

PORT = 47000

# How long a leaver is away, how long it stays before it leaves again, and how often it leaves.
AWAY, STAY, TIMES = 3, 6, 2


def session(address, task):
    # Addresses of a local network are not exempt from rates: those are what is measured.
    all_limited = libtorrent.ip_filter()
    all_limited.add_rule("0.0.0.0", "255.255.255.255", 1)
    made = libtorrent.session(
        {
            "listen_interfaces": f"{address}:{PORT}",
            "outgoing_interfaces": address,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
            "mixed_mode_algorithm": 0,
            "allow_multiple_connections_per_ip": True,
            "connections_limit": 500,
            "min_reconnect_time": 1,
            "upload_rate_limit": task["upload_rate"],
            "rate_limit_ip_overhead": False,
            "unchoke_slots_limit": task["unchoke_slots"],
            "alert_mask": 0,
        }
    )
    made.set_peer_class_filter(all_limited)
    return made


class Leecher:
    """One of them; `peers` are those that it calls."""

    def __init__(self, number, task):
        self.address = task["addresses"][number]
        folder = pathlib.Path(task["folder"], f"leecher {number}")
        folder.mkdir()
        added = libtorrent.add_torrent_params()
        added.ti = libtorrent.torrent_info(task["torrent"])
        added.save_path = str(folder)
        added.flags &= ~(libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused)
        self.session = session(self.address, task)
        self.torrent = self.session.add_torrent(added)
        self.peers = []
        # When it leaves and comes back, by turns.
        first = 2 + number
        rounds = [first + turn * (AWAY + STAY) for turn in range(TIMES)] if number < task["leavers"] else []
        self.turns = [moment for leaves in rounds for moment in (leaves, leaves + AWAY)]

    def connect(self):
        for peer in self.peers:
            self.torrent.connect_peer(peer)

    def take_turns(self, now):
        if self.turns and now >= self.turns[0]:
            self.turns.pop(0)
            if self.torrent.flags() & libtorrent.torrent_flags.paused:
                self.torrent.resume()
                self.connect()
            else:
                self.torrent.pause()

    def is_complete(self):
        return self.torrent.status().is_seeding


def peer(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main(task):
    leechers = [Leecher(number, task) for number in range(len(task["addresses"]))]
    for number, leecher in enumerate(leechers):
        earlier = [(other.address, PORT) for other in leechers[:number]]
        leecher.peers = [peer(task["seed"]), *map(peer, task["others"]), *earlier]
    # Whoever is connected to before that is forgotten again.
    while any(leecher.torrent.status().state != libtorrent.torrent_status.downloading for leecher in leechers):
        time.sleep(0.05)
    print("ready", flush=True)
    go = pathlib.Path(task["folder"], "go")
    while not go.exists():
        time.sleep(0.01)
    started = time.monotonic()
    for leecher in leechers:
        leecher.connect()
    missing = leechers
    while missing:
        time.sleep(0.05)
        now = time.monotonic() - started
        for leecher in leechers:
            leecher.take_turns(now)
        missing = [leecher for leecher in missing if not leecher.is_complete()]
    took = time.monotonic() - started
    statuses = [leecher.torrent.status() for leecher in leechers]
    downloaded = sum(status.total_payload_download for status in statuses)
    uploaded = sum(status.total_payload_upload for status in statuses)
    print("complete", took, downloaded, uploaded, flush=True)
    while True:
        time.sleep(60)


main(json.loads(pathlib.Path(sys.argv[1]).read_text()))
