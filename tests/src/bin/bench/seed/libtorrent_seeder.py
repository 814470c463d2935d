import sys
import threading

import libtorrent

listen, torrent, folder = sys.argv[1:]
settings = libtorrent.high_performance_seed()
settings.update(
    {
        "listen_interfaces": listen,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "allow_multiple_connections_per_ip": True,
        "connections_limit": 8000,
        "unchoke_slots_limit": -1,
        "listen_queue_size": 3000,
    }
)
session = libtorrent.session(settings)
added = libtorrent.add_torrent_params()
added.ti = libtorrent.torrent_info(torrent)
added.save_path = folder
added.flags |= libtorrent.torrent_flags.seed_mode
added.flags &= ~(libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused)
session.add_torrent(added)
threading.Event().wait()
