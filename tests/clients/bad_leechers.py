"""Peers that take from the seed of a swarm and give nothing to it.

bad_leechers.py KIND SEED TORRENT ADDRESS...    one from each address; KIND is one of

taker       asks for all that it is told of, and never says what it has
announcer   the same, but says what it has
trickler    says what it has, and asks for one block every half second
"""

import asyncio
import os
import struct
import sys

import libtorrent

BLOCK = 16 * 1024
CHOKE, UNCHOKE, INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, HAVE_ALL, HAVE_NONE, REJECT = 0, 1, 2, 4, 5, 6, 7, 14, 15, 16


class Leecher:
    """One connection; a new one is made when it ends."""

    def __init__(self, kind, torrent):
        self.kind = kind
        self.torrent = torrent
        self.pipeline = 1 if kind == "trickler" else 64
        # Blocks that were asked for and that came, by piece. They are kept from one connection to the next.
        self.got = {}

    async def run(self, seed, address):
        while True:
            try:
                host, port = seed.rsplit(":", 1)
                reader, writer = await asyncio.open_connection(host, int(port), local_addr=(address, 0))
                await self.talk(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.3)

    async def talk(self, reader, writer):
        info_hash = bytes.fromhex(str(self.torrent.info_hash()))
        writer.write(b"\x13BitTorrent protocol" + bytes(7) + b"\4" + info_hash + b"-BL0001-" + os.urandom(12))
        send(writer, HAVE_NONE)
        send(writer, INTERESTED)
        await reader.readexactly(68)
        known, asked, flying, is_choked = set(), dict(self.got), 0, True
        while True:
            (length,) = struct.unpack(">I", await reader.readexactly(4))
            if length == 0:
                continue
            message = await reader.readexactly(length)
            kind = message[0]
            if kind in (CHOKE, UNCHOKE):
                is_choked = kind == CHOKE
            elif kind == HAVE:
                known.update(struct.unpack(">I", message[1:]))
            elif kind == HAVE_ALL:
                known.update(range(self.torrent.num_pieces()))
            elif kind == BITFIELD:
                known.update(piece for piece in range(self.torrent.num_pieces()) if bit(message[1:], piece))
            elif kind == REJECT:
                flying -= 1
            elif kind == PIECE:
                flying -= 1
                (piece,) = struct.unpack(">I", message[1:5])
                self.got[piece] = self.got.get(piece, 0) + 1
                if self.got[piece] == self.blocks(piece) and self.kind != "taker":
                    send(writer, HAVE, piece)
                if self.kind == "trickler":
                    await asyncio.sleep(0.5)
            if not is_choked:
                flying += self.ask(writer, known, asked, self.pipeline - flying)
            await writer.drain()

    def ask(self, writer, known, asked, count):
        """Asks for at most so many blocks, and says for how many."""
        sent = 0
        for piece in sorted(known):
            while sent < count and asked.get(piece, 0) < self.blocks(piece):
                begin = asked.get(piece, 0) * BLOCK
                asked[piece] = asked.get(piece, 0) + 1
                send(writer, REQUEST, piece, begin, min(BLOCK, self.torrent.piece_size(piece) - begin))
                sent += 1
        return sent

    def blocks(self, piece):
        return -(-self.torrent.piece_size(piece) // BLOCK)


def bit(bits, number):
    return bits[number // 8] >> (7 - number % 8) & 1


def send(writer, kind, *numbers):
    writer.write(struct.pack(f">IB{len(numbers)}I", 1 + 4 * len(numbers), kind, *numbers))


async def main(kind, seed, torrent, *addresses):
    torrent = libtorrent.torrent_info(torrent)
    await asyncio.gather(*(Leecher(kind, torrent).run(seed, address) for address in addresses))


asyncio.run(main(*sys.argv[1:]))
