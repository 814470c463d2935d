#!/usr/bin/python3
"""What the tests need of libtorrent: a client that downloads, and a maker of torrents.

libtorrent_client.py download TORRENT|URL|MAGNET FOLDER [SETTINGS]    ends when all is there; settings in JSON
libtorrent_client.py meet TORRENT|URL|MAGNET FOLDER           ends when it is connected to one that a peer told of
libtorrent_client.py node ADDRESS                              a node of the DHT; says at which port, and who announces what
libtorrent_client.py create PATH PIECE_LENGTH OUTPUT       version 1, files sorted bytewise
libtorrent_client.py name LIST OUTPUT                      the info hashes of a list of paths and piece lengths, in JSON
"""

import hashlib
import json
import os
import pathlib
import sys
import time
import urllib.request

import libtorrent

SETTINGS = {
    "listen_interfaces": "0.0.0.0:0,[::]:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "allow_multiple_connections_per_ip": True,
    "min_reconnect_time": 1,
    "alert_mask": libtorrent.alert.category_t.error_notification
    | libtorrent.alert.category_t.tracker_notification
    | libtorrent.alert.category_t.status_notification
    | libtorrent.alert.category_t.storage_notification
    | libtorrent.alert.category_t.dht_notification,
}

# All nodes of a test are on one machine.
DHT_SETTINGS = {"dht_restrict_routing_ips": False, "dht_restrict_search_ips": False}


def wait_for_alerts(session):
    """Those of a moment. What session.wait_for_alert() returns may be moved in memory while Python looks at it, and crash that."""
    time.sleep(0.1)
    return session.pop_alerts()


def parameters(source):
    if source.startswith("magnet:"):
        return libtorrent.parse_magnet_uri(source)
    if source.startswith("http:"):
        with urllib.request.urlopen(source, timeout=20) as response:
            metainfo = response.read()
    else:
        metainfo = pathlib.Path(source).read_bytes()
    added = libtorrent.add_torrent_params()
    added.ti = libtorrent.torrent_info(libtorrent.bdecode(metainfo))
    return added


def download(source, folder, settings="{}"):
    session = libtorrent.session(SETTINGS | DHT_SETTINGS | json.loads(settings))
    added = parameters(source)
    added.save_path = folder
    handle = session.add_torrent(added)
    while not handle.status().is_seeding:
        for alert in wait_for_alerts(session):
            print(alert, flush=True)
            if isinstance(alert, libtorrent.dht_bootstrap_alert):
                # It asks of a torrent that was there before it knew nodes in a quarter of an hour.
                handle.force_dht_announce()
    # Written, not only received.
    handle.flush_cache()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if any(isinstance(alert, libtorrent.cache_flushed_alert) for alert in wait_for_alerts(session)):
            return
    sys.exit("the cache was not flushed")


def meet(source, folder):
    session = libtorrent.session(SETTINGS)
    added = parameters(source)
    added.save_path = folder
    handle = session.add_torrent(added)
    while not any(peer.source & libtorrent.peer_info.pex for peer in handle.get_peer_info()):
        for alert in wait_for_alerts(session):
            print(alert, flush=True)


def node(address):
    settings = {"listen_interfaces": f"{address}:0", "enable_dht": True, "dht_bootstrap_nodes": ""}
    session = libtorrent.session(SETTINGS | DHT_SETTINGS | settings)
    while not session.listen_port():
        time.sleep(0.05)
    print("port", session.listen_port(), flush=True)
    while True:
        for alert in wait_for_alerts(session):
            print(alert, flush=True)


def storage_of(path):
    storage = libtorrent.file_storage()
    if path.is_dir():
        found = [pathlib.Path(folder, name) for folder, _, names in os.walk(path) for name in names]
        for file in sorted(found, key=lambda file: [os.fsencode(part) for part in file.relative_to(path).parts]):
            storage.add_file(str(file.relative_to(path.parent)), file.stat().st_size)
    else:
        storage.add_file(path.name, path.stat().st_size)
    return storage


def make(path, piece_length, flags):
    # The maker only refers to it: it must live on.
    storage = storage_of(path)
    maker = libtorrent.create_torrent(storage, int(piece_length), flags)
    libtorrent.set_piece_hashes(maker, str(path.parent))
    return maker.generate()


def create(path, piece_length, output):
    torrent = make(pathlib.Path(path), piece_length, libtorrent.create_torrent.v1_only)
    pathlib.Path(output).write_bytes(libtorrent.bencode(torrent))


def info_hashes(path, piece_length):
    """Version 1, and version 2 of a torrent of its own."""

    def info(flags):
        return libtorrent.bencode(make(path, piece_length, flags)[b"info"])

    v1, v2 = info(libtorrent.create_torrent.v1_only), info(libtorrent.create_torrent.v2_only)
    return [hashlib.sha1(v1).hexdigest(), hashlib.sha256(v2).hexdigest()]


def name(list_file, output):
    wanted = json.loads(pathlib.Path(list_file).read_text())
    found = [info_hashes(pathlib.Path(path), piece_length) for path, piece_length in wanted]
    pathlib.Path(output).write_text(json.dumps(found))


{"download": download, "meet": meet, "node": node, "create": create, "name": name}[sys.argv[1]](*sys.argv[2:])
# Without taking itself apart, in which some versions crash now and then.
sys.stdout.flush()
os._exit(0)
