import os
import sys

how, path, piece_length, output = sys.argv[1:]
if how == "torf":
    import torf

    torrent = torf.Torrent(path=path, piece_size=int(piece_length))
    torrent.generate(threads=os.cpu_count())
    torrent.write(output)
else:
    import libtorrent

    flags = {"v1": libtorrent.create_torrent.v1_only, "hybrid": 0}[how]
    if hasattr(libtorrent, "list_files"):
        maker = libtorrent.create_torrent(libtorrent.list_files(path), int(piece_length), flags)
    else:
        files = libtorrent.file_storage()
        libtorrent.add_files(files, path)
        maker = libtorrent.create_torrent(files, int(piece_length), flags)
    libtorrent.set_piece_hashes(maker, os.path.dirname(path))
    with open(output, "wb") as file:
        file.write(libtorrent.bencode(maker.generate()))
