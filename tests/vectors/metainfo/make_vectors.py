#!/usr/bin/env python3
"""Makes the .torrent files of manifest.txt anew and writes their info hashes into it.

Needs mktorrent and the Python package libtorrent.
"""

import hashlib
import pathlib
import subprocess
import tempfile

import libtorrent

HERE = pathlib.Path(__file__).parent
MASK = (1 << 64) - 1


def content(path: str, length: int) -> bytes:
    state = 0xCBF29CE484222325
    for byte in path.encode():
        state = (state ^ byte) * 0x100000001B3 & MASK
    out = bytearray()
    for _ in range(length):
        state ^= state << 13 & MASK
        state ^= state >> 7
        state ^= state << 17 & MASK
        out.append(state >> 56)
    return bytes(out)


def by_mktorrent(torrent, root, output):
    power = torrent["piece_length"].bit_length() - 1
    command = ["mktorrent", "-d", "-l", str(power), "-o", output]
    command += ["-p"] if torrent["private"] else []
    for tier in torrent["announce"]:
        command += ["-a", ",".join(tier)]
    for url in torrent["web_seeds"]:
        command += ["-w", url]
    subprocess.run([*command, root / torrent["item"]], check=True, stdout=subprocess.DEVNULL)


def by_libtorrent(torrent, root, output):
    files = [libtorrent.create_file_entry(path, length) for length, path in torrent["files"]]
    versions = {"1": libtorrent.create_torrent.v1_only, "2": libtorrent.create_torrent.v2_only, "hybrid": 0}
    flags = versions[torrent["version"]] | libtorrent.create_torrent.no_attributes
    maker = libtorrent.create_torrent(files, torrent["piece_length"], flags)
    maker.set_creation_date(0)
    maker.set_priv(torrent["private"])
    for number, tier in enumerate(torrent["announce"]):
        for url in tier:
            maker.add_tracker(url, number)
    for url in torrent["web_seeds"]:
        maker.add_url_seed(url)
    libtorrent.set_piece_hashes(maker, str(root))
    output.write_bytes(libtorrent.bencode(maker.generate()))


def info_hashes(metainfo: bytes, version: str) -> list[str]:
    info = libtorrent.bencode(libtorrent.bdecode(metainfo)[b"info"])
    assert info in metainfo
    v1 = f"info-hash\t{hashlib.sha1(info).hexdigest()}"
    v2 = f"info-hash-v2\t{hashlib.sha256(info).hexdigest()}"
    return {"1": [v1], "2": [v2], "hybrid": [v1, v2]}[version]


def make(torrent) -> list[str]:
    output = HERE / f"{torrent['name']}.torrent"
    output.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for length, path in torrent["files"]:
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content(path, length))
        {"mktorrent": by_mktorrent, "libtorrent": by_libtorrent}[torrent["maker"]](torrent, root, output)
    return info_hashes(output.read_bytes(), torrent["version"])


def main():
    manifest = HERE / "manifest.txt"
    lines = [line for line in manifest.read_text().splitlines() if not line.startswith("info-hash")]
    torrent = None
    written = []
    for line in [*lines, ""]:
        key, *values = line.split("\t")
        match key:
            case "torrent":
                name, maker, piece_length, item = values
                torrent = dict(name=name, maker=maker, piece_length=int(piece_length), item=item)
                torrent |= dict(version="1", private=False, announce=[], web_seeds=[], files=[])
            case "version":
                torrent["version"] = values[0]
            case "private":
                torrent["private"] = True
            case "announce":
                torrent["announce"].append(values)
            case "web-seed":
                torrent["web_seeds"].append(values[0])
            case "file":
                torrent["files"].append((int(values[0]), values[1]))
            case "" if torrent:
                written.extend(make(torrent))
                torrent = None
        written.append(line)
    manifest.write_text("\n".join(written).rstrip("\n") + "\n")


main()
